/// Interrupt controllers in words. Pure.
#pragma once

#include <asyncvm/interrupt_state.hpp>

#include <string>

namespace asyncvm::monitor {

/// Lines for a person: both 8259A, the IOAPIC's inputs, the local APIC of vCPU `cpu`. Any values.
[[nodiscard]] std::string describe_interrupts(const InterruptState& state, unsigned cpu);
/// The local APIC alone.
[[nodiscard]] std::string describe_local_apic(const LocalApicState& state, unsigned cpu);

}  // namespace asyncvm::monitor
