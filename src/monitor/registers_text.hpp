/// A vCPU's registers as QEMU's `info registers` writes them, which scripts read. Pure.
#pragma once

#include <asyncvm/registers.hpp>

#include <string>

namespace asyncvm::monitor {

/// Without what QEMU knows about its own processor (II, A20, SMM, HLT), debug registers, x87 and SSE.
[[nodiscard]] std::string registers_text(const Registers& registers, unsigned cpu);

}  // namespace asyncvm::monitor
