/// In which order KVM takes state. Pure.
#pragma once

#include <array>
#include <cstdint>

namespace asyncvm::kvm {

/// A part of the state that KVM gives and takes with an ioctl of its own.
enum class StateStep : std::uint8_t {
    cpuid,
    sregs,  ///< SREGS2, or SREGS where there is none
    xcrs,
    xsave,  ///< or FPU
    debugregs,
    lapic,
    tsc,
    msrs,  ///< but for the TSC and its deadline
    tsc_deadline,
    mp_state,
    regs,
    vcpu_events,
    irqchip,
    pit,
    clock,
};

/// For each vCPU. A wrong order succeeds as well, and loses: TPR when LAPIC comes before SREGS (whose CR8 it is), the
/// deadline without a local APIC in deadline mode (LAPIC and CPUID come first) and when the TSC jumps behind it, a pending
/// exception when REGS come behind VCPU_EVENTS.
inline constexpr std::array cpu_restore_order{
    StateStep::cpuid,        StateStep::sregs,    StateStep::xcrs, StateStep::xsave,
    StateStep::debugregs,    StateStep::lapic,    StateStep::tsc,  StateStep::msrs,
    StateStep::tsc_deadline, StateStep::mp_state, StateStep::regs, StateStep::vcpu_events,
};

/// For the machine, behind all of its vCPUs: the IOAPIC's pending inputs go to the local APICs, and are lost there if LAPIC
/// comes later.
inline constexpr std::array vm_restore_order{StateStep::irqchip, StateStep::pit, StateStep::clock};

}  // namespace asyncvm::kvm
