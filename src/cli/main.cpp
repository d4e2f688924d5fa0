#include "cli/console.hpp"
#include "cli/ctl.hpp"
#include "cli/exit_status.hpp"
#include "cli/options.hpp"
#include "cli/plugin_program.hpp"
#include "cli/session.hpp"
#include "cli/signals.hpp"
#include "cli/trace_command.hpp"
#include "probe/feature.hpp"
#include "probe/table.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/accelerator.hpp>

#include <fmt/format.h>
#include <malloc.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <new>
#include <span>
#include <string>
#include <string_view>
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

/// Of what the library did not name: threads and descriptors of Asio and of the standard library.
std::string describe_lack(const std::system_error& error) {
    const std::string_view all = error.what();
    const auto what = all.substr(0, all.find(':'));
    const int number = error.code().value();
    const char* hint = "";
    if (number == EMFILE) hint = " (raise the limit that `ulimit -n` shows)";
    if (number == EAGAIN) hint = " (raise the limit that `ulimit -u` or `ulimit -v` shows)";
    if (number == ENOMEM) hint = " (raise the limit that `ulimit -v` shows)";
    if (what == "thread") return fmt::format("cannot start a thread: {}{}", reason(number), hint);
    return fmt::format("cannot wait for events ({}): {}{}", what, reason(number), hint);
}

/// Returns `code` when the standard error has what was printed. A signal ends the wait, and the program.
int flushed(int code) {
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
    const std::string_view first = argc > 1 ? argv[1] : "";
    try {
        const std::span<const char* const> rest(argv + std::min(argc, 2), argv + argc);
        if (first == "ctl") return run_ctl(rest);
        if (first == "top") return run_top(rest);
        if (first == "trace") return run_trace(rest);
        if (asks_for_plugin({argv, argv + argc})) become_plugin_program(argv);
        reserve_memory();
        const auto options = parse_options(argc, argv);
        if (options.probe != ProbeReport::none) return run_probe(options.probe);
        if (options.text.empty()) return run_session(options);
        print_out(options.text);
        return exit_code::success;
    } catch (const Error& error) {
        print(error.what());
        if (error.kind() == ErrorKind::usage) {
            const bool is_command = first == "ctl" || first == "top" || first == "trace";
            print(is_command ? fmt::format("see asyncvm {} --help", first) : "see asyncvm --help");
        }
        return flushed(exit_status(error.kind()));
    } catch (const std::bad_alloc&) {
        print("out of memory (ask for less with --memory, --cpus or backlog=, or raise the limit that `ulimit -v` shows)");
        return flushed(exit_code::host);
    } catch (const std::system_error& error) {
        print(describe_lack(error));
        return flushed(exit_code::host);
    } catch (const std::exception& error) {
        print(fmt::format("internal error: {}", error.what()));
        return flushed(exit_code::kvm_failure);
    }
}
