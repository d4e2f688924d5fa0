#include "cli/core_dump.hpp"

#include "cli/console.hpp"
#include "vmcore/dump.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <utility>

namespace asyncvm::cli {

namespace {

using namespace std::chrono_literals;

/// As gdb calls such an end; nothing: none that a core is for.
std::optional<int> signal_of(const Outcome& outcome, HaltPolicy on_halt) {
    switch (outcome.kind) {
        case Outcome::Kind::triple_fault:
            return SIGSEGV;
        case Outcome::Kind::crashed:
            return SIGABRT;
        case Outcome::Kind::failed:
            // Without an exit the vCPU may still be on its way.
            return outcome.cpu ? std::optional(SIGILL) : std::nullopt;
        case Outcome::Kind::halted:
            return on_halt == HaltPolicy::fail ? std::optional(0) : std::nullopt;
        case Outcome::Kind::powered_off:
        case Outcome::Kind::reset:
        case Outcome::Kind::exited:
        case Outcome::Kind::differed:
        case Outcome::Kind::stopped:
            break;
    }
    return std::nullopt;
}

/// What takes long says how far it is: after a second, and then less and less often.
class Clock {
public:
    explicit Clock(std::string path) : path_(std::move(path)) {}

    void look(vmcore::Progress progress) {
        const auto passed = std::chrono::steady_clock::now() - begin_;
        if (passed < next_) return;
        next_ *= 2;
        print(fmt::format("writes the core {}: {} of {} MiB", path_, progress.done >> 20, progress.total >> 20));
    }

private:
    const std::string path_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
    std::chrono::steady_clock::duration next_ = 1s;
};

}  // namespace

awaitable<void> write_core(Machine& machine, std::string path, Outcome outcome, HaltPolicy on_halt,
                           std::function<bool()> given_up) {
    const auto signal = signal_of(outcome, on_halt);
    if (path.empty() || !signal) co_return;
    Clock clock(path);
    const std::function<void(vmcore::Progress)> told = [&](vmcore::Progress progress) {
        clock.look(progress);
        if (given_up()) throw Error(ErrorKind::host, fmt::format("the core {} was given up", path));
    };
    std::string text;
    try {
        vmcore::Request request;
        request.path = path;
        request.cpu = outcome.cpu.value_or(0);
        request.signal = *signal;
        const vmcore::Dumped dumped = co_await vmcore::dump(machine, std::move(request), told);
        text = fmt::format("the guest's core is {} ({} MiB of memory{})", path, dumped.total >> 20,
                           dumped.cut ? "; it lacks some of the guest's linear addresses: there are too many" : "");
    } catch (const Error& error) {
        text = error.what();
    }
    print(text);
}

}  // namespace asyncvm::cli
