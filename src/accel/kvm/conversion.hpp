/// Between the structures of the kvm API and ours. Pure.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/registers.hpp>

#include <linux/kvm.h>

namespace asyncvm::kvm {

/// What the shared page of a vCPU says about its exit. `run` is followed in memory by the data of port I/O, as the kernel
/// maps it. The spans in the result point there.
[[nodiscard]] Exit decode_exit(kvm_run& run) noexcept;

/// What KVM_SET_GUEST_DEBUG is given.
[[nodiscard]] kvm_guest_debug to_guest_debug(const GuestDebug& debug) noexcept;

[[nodiscard]] Registers to_registers(const kvm_regs& regs, const kvm_sregs& sregs) noexcept;

[[nodiscard]] kvm_regs to_regs(const Registers& registers) noexcept;

/// Changes the members that Registers has and leaves the rest (APIC base, pending interrupts) as it is.
void apply_to_sregs(const Registers& registers, kvm_sregs& sregs) noexcept;

}  // namespace asyncvm::kvm
