/// MSRs of a vCPU.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <vector>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// Reads what can be read. Throws Error(host).
[[nodiscard]] std::vector<kvm_msr_entry> read_msrs(const Fd& cpu, std::span<const std::uint32_t> indices);

/// One that is refused may be one that can't be written and has its value anyway. Otherwise the guest would go on with
/// another value: Error(host).
void write_msrs(const Fd& cpu, std::span<const kvm_msr_entry> entries);

/// False: KVM refuses it. Throws Error(host).
[[nodiscard]] bool try_write_msr(const Fd& cpu, const kvm_msr_entry& entry);

}  // namespace asyncvm::kvm
