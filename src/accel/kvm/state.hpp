/// Between the kvm API's register structures and ours. Pure.
#pragma once

#include <asyncvm/registers.hpp>

#include <linux/kvm.h>

namespace asyncvm::kvm {

[[nodiscard]] Registers to_registers(const kvm_regs& regs, const kvm_sregs& sregs) noexcept;

[[nodiscard]] kvm_regs to_regs(const Registers& registers) noexcept;

/// Changes what Registers knows of and leaves the rest (APIC base, pending interrupts) as it is.
void apply_to_sregs(const Registers& registers, kvm_sregs& sregs) noexcept;

}  // namespace asyncvm::kvm
