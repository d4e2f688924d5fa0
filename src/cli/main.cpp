#include "cli/console.hpp"
#include "cli/exit_status.hpp"
#include "cli/options.hpp"
#include "cli/session.hpp"
#include "cli/signals.hpp"
#include "probe/feature.hpp"
#include "probe/table.hpp"

#include <asyncvm/accelerator.hpp>

#include <fmt/format.h>
#include <malloc.h>

#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <vector>

namespace asyncvm::cli {
namespace {

/// Tries what the KVM of this host can do and prints it. Returns the exit code: host (72) if KVM can't be used.
int run_probe(ProbeReport report) {
    std::vector<probe::Finding> findings;
    std::string unusable;
    try {
        static_cast<void>(make_kvm_accelerator());
        findings = probe::probe_all();
    } catch (const Error& error) {
        unusable = error.what();
    }
    print_out(report == ProbeReport::lines ? probe::format_lines(findings, unusable)
                                           : probe::format_table(probe::describe_host(), findings, unusable));
    return unusable.empty() ? exit_code::success : exit_code::host;
}

/// Returns `code` when the standard error has what was printed. A signal ends the wait, and the program.
int said(int code) {
    flush_console(until_taken);
    return code;
}

}  // namespace
}  // namespace asyncvm::cli

int main(int argc, char** argv) {
    using namespace asyncvm;
    using namespace asyncvm::cli;
    tame_signals();
    // Threads that share the heap start sooner than threads that get one each, and an exit allocates nothing.
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
        return said(exit_status(error.kind()));
    } catch (const std::bad_alloc&) {
        print("out of memory");
        return said(exit_code::host);
    } catch (const std::system_error& error) {
        print(error.what());
        return said(exit_code::host);
    } catch (const std::exception& error) {
        print(fmt::format("internal error: {}", error.what()));
        return said(exit_code::kvm_failure);
    }
}
