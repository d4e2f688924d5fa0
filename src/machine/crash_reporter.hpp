/// From the exit that ended a vCPU to the outcome of the machine.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/bus.hpp>
#include <asyncvm/outcome.hpp>

#include <cstdint>
#include <exception>
#include <string>

#include "report/report.hpp"

namespace asyncvm {

/// What the report looks at. Refers to the machine's parts.
struct CrashReporter {
    const GuestMemory& memory;
    const Bus& ports;
    const Bus& mmio;
    const ExitHistory& history;
    const Registers& started_with;
    unsigned cpu;
    std::uint64_t posted;  ///< writes that were collected

    /// On the vCPU's thread. `exit` is one that ends the guest; reads the registers of `from`.
    [[nodiscard]] Outcome outcome(const Exit& exit, Cpu& from) const;

    /// On the vCPU's thread, between two exits or while an access waits, or after its end: the report about a guest that
    /// runs (`exit` is Interrupted) or has halted.
    [[nodiscard]] std::string report(const Exit& exit, Cpu& from) const;

private:
    [[nodiscard]] CrashContext context(const Exit& exit, const Registers& registers) const;
};

/// An exception that reached the top of a vCPU: an error of the host, or a bug of ours.
[[nodiscard]] Outcome outcome_of_exception(const std::exception_ptr& failure, unsigned cpu);

}  // namespace asyncvm
