#include "machine/crash_reporter.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <exception>
#include <new>
#include <string>
#include <variant>

namespace asyncvm {

namespace {

Outcome::Kind kind_of(const Exit& exit) {
    if (std::holds_alternative<ShutDown>(exit)) return Outcome::Kind::triple_fault;
    if (const auto* const event = std::get_if<SystemEvent>(&exit)) {
        if (event->kind == SystemEvent::Kind::shutdown) return Outcome::Kind::powered_off;
        if (event->kind == SystemEvent::Kind::reset) return Outcome::Kind::reset;
        return Outcome::Kind::crashed;
    }
    return Outcome::Kind::failed;
}

}  // namespace

Outcome CrashReporter::outcome(const Exit& exit, Cpu& from) const {
    Outcome outcome;
    outcome.kind = kind_of(exit);
    outcome.cpu = cpu;
    const Registers registers = from.registers();
    const CrashContext crash = context(exit, registers);
    outcome.summary = summarize(crash);
    const bool asked_for = outcome.kind == Outcome::Kind::powered_off || outcome.kind == Outcome::Kind::reset;
    if (!asked_for) outcome.report = format_report(crash);
    return outcome;
}

std::string CrashReporter::report(const Exit& exit, Cpu& from) const {
    const Registers registers = from.registers();
    return format_report(context(exit, registers));
}

CrashContext CrashReporter::context(const Exit& exit, const Registers& registers) const {
    return {cpu,
            exit,
            registers,
            memory,
            history,
            &started_with,
            [this](Space space, std::uint64_t address) {
                return std::string((space == Space::port ? ports : mmio).device_name(address));
            },
            posted};
}

Outcome outcome_of_exception(const std::exception_ptr& failure, unsigned cpu) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::failed;
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        outcome.lacks_memory =
            dynamic_cast<const std::bad_alloc*>(&error) != nullptr || dynamic_cast<const NoMemory*>(&error) != nullptr;
        outcome.summary = fmt::format("vCPU {} can't go on: {}", cpu, error.what());
    } catch (...) {
        outcome.summary = fmt::format("vCPU {} can't go on", cpu);
    }
    return outcome;
}

}  // namespace asyncvm
