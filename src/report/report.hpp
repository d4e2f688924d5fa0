/// The report about a guest that crashed, or that is looked at while it runs. docs/reports.md shows one.
#pragma once

#include "report/exit_history.hpp"
#include "report/wording.hpp"

#include <asyncvm/exit.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <string>

namespace asyncvm {

/// All that is known about the crash of a guest. Refers to things that must outlive the calls below.
struct CrashContext {
    unsigned cpu = 0;
    const Exit& exit;
    const Registers& registers;  ///< after the exit
    const GuestMemory& memory;
    const ExitHistory& history;
    const Registers* started_with =
        nullptr;  ///< of this vCPU; the mode that is assumed where the processor has forgotten it
    DeviceName device_name{};
    std::uint64_t posted = 0;  ///< writes of the machine that were collected, and are no exits
};

/// One line, for Outcome::summary: `triple fault at 0x10012 (vCPU 0)`.
[[nodiscard]] std::string summarize(const CrashContext& crash);

/// Several lines, for Outcome::report: the summary, hints, code, the last exits, registers, the stack. Never fails on what a
/// guest has put into its registers or memory; each line ends in a newline.
[[nodiscard]] std::string format_report(const CrashContext& crash);

}  // namespace asyncvm
