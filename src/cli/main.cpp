#include "cli/console.hpp"
#include "cli/exit_status.hpp"
#include "cli/options.hpp"
#include "cli/probe.hpp"
#include "cli/session.hpp"

#include <fmt/format.h>
#include <malloc.h>

#include <exception>
#include <new>
#include <system_error>

int main(int argc, char** argv) {
    using namespace asyncvm;
    using namespace asyncvm::cli;
    // Threads that share the heap start sooner than threads that get one each, and nobody allocates on the way of an exit.
    static_cast<void>(mallopt(M_ARENA_MAX, 1));
    fill_standard_streams();
    try {
        const auto options = parse_options(argc, argv);
        if (options.probe != ProbeReport::none) return run_probe(options.probe);
        if (options.text.empty()) return run_session(options);
        print_out(options.text);
        return exit_code::success;
    } catch (const Error& error) {
        print(error.what());
        if (error.kind() == ErrorKind::usage) print("see asyncvm --help");
        return exit_status(error.kind());
    } catch (const std::bad_alloc&) {
        print("out of memory");
        return exit_code::host;
    } catch (const std::system_error& error) {
        print(error.what());
        return exit_code::host;
    } catch (const std::exception& error) {
        print(fmt::format("internal error: {}", error.what()));
        return exit_code::kvm_failure;
    }
}
