/// What CPUID really says to a guest on this host.
#pragma once

#include <linux/kvm.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// A virtual machine that is thrown away: its one vCPU runs CPUID and nothing else. KVM_SET_CPUID2 takes everything and
/// promises nothing: KVM changes some bits afterwards, and where the processor runs CPUID without asking KVM, masks do
/// nothing.
class CpuidTrial {
public:
    /// `system` is /dev/kvm, `run_size` of KVM_GET_VCPU_MMAP_SIZE, `local_apic` what KvmOptions::irqchip says. Throws
    /// Error(host).
    CpuidTrial(const Fd& system, std::size_t run_size, const std::vector<kvm_cpuid_entry2>& entries, bool local_apic);
    CpuidTrial(const CpuidTrial&) = delete;
    CpuidTrial& operator=(const CpuidTrial&) = delete;
    ~CpuidTrial();

    /// Nothing where the host can't run the trial.
    [[nodiscard]] std::optional<kvm_cpuid_entry2> ask(std::uint32_t leaf, std::uint32_t subleaf);

private:
    Fd vm_;
    void* page_ = MAP_FAILED;
    std::optional<Fd> cpu_;
    std::optional<Mapping> run_;
};

}  // namespace asyncvm::kvm
