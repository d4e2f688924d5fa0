/// What follows from the options and the guest's file together: which machine it gets, and how that is made.
#pragma once

#include "cli/options.hpp"

#include <asyncvm/board.hpp>
#include <asyncvm/boot.hpp>
#include <asyncvm/machine.hpp>

namespace asyncvm::cli {

struct Setup {
    MachineKind machine = MachineKind::flat;
    HaltPolicy on_halt = HaltPolicy::end;
    HugePages huge_pages = HugePages::off;
    bool irqchip = false;           ///< wanted, with a PIT
    bool irqchip_optional = false;  ///< without KVM the guest may do without
    bool boot_tables = false;       ///< there will be some in the guest's memory
};

/// For a guest's file of this format. Throws Error(usage) for options that such a guest has no use for.
[[nodiscard]] Setup set_up(const Options& options, BootFormat format);

/// Before the file has been looked at.
[[nodiscard]] Setup guess_setup(const Options& options);

[[nodiscard]] BootRequest boot_request(const Options& options);

/// The pc machine that the options ask for.
[[nodiscard]] PcDescription pc_description(const Options& options);

/// What the machine tells its guest: for Boot::plan().
[[nodiscard]] BootSurroundings surroundings(const Options& options, const Setup& setup);

/// Without what the session adds: functions, and a debugger's needs.
[[nodiscard]] MachineConfig machine_config(const Options& options, const Setup& setup);

}  // namespace asyncvm::cli
