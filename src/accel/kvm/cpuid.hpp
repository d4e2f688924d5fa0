/// What a guest's CPUID instruction says.
#pragma once

#include <linux/kvm.h>

#include <span>
#include <vector>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// KVM_GET_SUPPORTED_CPUID of /dev/kvm. Throws Error(host).
[[nodiscard]] std::vector<kvm_cpuid_entry2> supported_cpuid(const Fd& system);

/// Gives a vCPU `entries`, with `index` as its APIC ID in leaves 1, 0xb, 0x1f and 0x8000001e. Throws Error(host).
void set_cpuid(const Fd& cpu, const std::vector<kvm_cpuid_entry2>& entries, unsigned index);

/// Takes out of `entries` what needs a local APIC: for machines without one. Pure.
void remove_local_apic(std::span<kvm_cpuid_entry2> entries) noexcept;

/// Clears IA32_APIC_BASE of a vCPU without a local APIC. After KVM_SET_CPUID2: on every KVM the bit APIC of CPUID follows
/// that register. Throws Error(host).
void disable_local_apic(const Fd& cpu);

/// What a vCPU has, and a vCPU gets, as it stands: for state that is saved and restored. Throw Error(host).
[[nodiscard]] std::vector<kvm_cpuid_entry2> read_cpuid(const Fd& cpu);
void write_cpuid(const Fd& cpu, const std::vector<kvm_cpuid_entry2>& entries);

/// Whether two vCPUs have the same features. What follows the guest's control registers, as OSXSAVE does, is not looked at.
[[nodiscard]] bool same_cpuid(std::span<const kvm_cpuid_entry2> left, std::span<const kvm_cpuid_entry2> right);

/// The same as set_cpuid() without KVM: `entries` for the vCPU `index`.
[[nodiscard]] std::vector<kvm_cpuid_entry2> cpuid_of(std::vector<kvm_cpuid_entry2> entries, unsigned index);

}  // namespace asyncvm::kvm
