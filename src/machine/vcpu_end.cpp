// Where a vCPU can't go on by itself: who is asked, how it ends, and what is told of it.
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "machine/coalesced_writes.hpp"
#include "machine/crash_reporter.hpp"
#include "machine/vcpu.hpp"

namespace asyncvm {

/// Where only a debugger, if there is one, knows how it goes on. Sets the outcome that a vCPU has when it is released.
StopAction Vcpu::ask_what_becomes() {
    if (!surroundings_.on_stop || std::holds_alternative<Halted>(exit_)) return StopAction::end;
    // First: who is told of the stop may release the vCPU at once.
    requests_.fetch_or(stopped_request);
    const StopAction action = surroundings_.on_stop(index_, exit_, *cpu_);
    if (action != StopAction::hold) requests_.fetch_and(~static_cast<unsigned>(stopped_request));
    if (action != StopAction::end && !std::holds_alternative<Debug>(exit_)) outcome_ = how_it_ends();
    return action;
}

/// What a device has told take_crash() becomes the vCPU's exit, behind the instruction that has told the device.
bool Vcpu::has_crashed() {
    if (!asked_for(crash_request) || asked_for(stop_request)) return false;
    requests_.fetch_and(~static_cast<unsigned>(crash_request));
    if (!reported_) return false;
    cpu_->complete_exit();
    exit_ = SystemEvent{.kind = SystemEvent::Kind::crash};
    return true;
}

std::optional<Outcome> Vcpu::how_it_ends() {
    if (reported_) return std::exchange(reported_, std::nullopt);
    return describe_end(exit_);
}

std::optional<Outcome> Vcpu::describe_end(const Exit& exit) {
    if (std::holds_alternative<Halted>(exit)) {
        halted_.store(true);
        return std::nullopt;
    }
    return reporter().outcome(exit, *cpu_);
}

std::string Vcpu::report() {
    const Exit exit = halted() ? Exit(Halted{}) : outcome_ ? exit_ : Exit(Interrupted{});
    return reporter().report(exit, *cpu_);
}

CrashReporter Vcpu::reporter() const {
    const std::uint64_t posted = surroundings_.coalesced != nullptr ? surroundings_.coalesced->delivered() : 0;
    return {surroundings_.memory, surroundings_.ports, surroundings_.mmio, history_, started_with_, index_, posted};
}

}  // namespace asyncvm
