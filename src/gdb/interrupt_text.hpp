/// Interrupt controllers in words. Pure.
#pragma once

#include <asyncvm/interrupt_state.hpp>

#include <string>

namespace asyncvm::gdb {

/// Lines for a person: both 8259A, the IOAPIC's inputs, the local APIC of vCPU `cpu`. Any values.
[[nodiscard]] std::string describe_interrupts(const InterruptState& state, unsigned cpu);

}  // namespace asyncvm::gdb
