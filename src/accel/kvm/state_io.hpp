/// Saving and restoring what KVM keeps of a machine.
#pragma once

#include <asyncvm/cpu_state.hpp>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// One for each virtual machine; it asks what the host has when it is used for the first time. Any thread, but a vCPU's only
/// on one at a time.
class StateIo {
public:
    /// `system` is /dev/kvm. Both must outlive the object.
    StateIo(const Fd& system, const Fd& vm, bool irqchip, bool pit)
        : system_(system), vm_(vm), irqchip_(irqchip), pit_(pit) {}
    StateIo(const StateIo&) = delete;
    StateIo& operator=(const StateIo&) = delete;

    /// No access of the vCPU may be pending. Throws Error(host).
    [[nodiscard]] CpuState save_cpu(const Fd& cpu);
    /// `index` is the vCPU's. Throws Error(usage) for a state that is not KVM's or lacks something, Error(host) for what
    /// this host does not take.
    void restore_cpu(const Fd& cpu, unsigned index, const CpuState& state);

    /// What KVM_GET_XSAVE says, with room for all that a guest may have; empty where the host has no such thing. Throws
    /// Error(host).
    [[nodiscard]] std::vector<std::byte> read_xsave(const Fd& cpu);
    /// Of that size at least.
    void write_xsave(const Fd& cpu, std::vector<std::byte> xsave);

    [[nodiscard]] VmState save_vm();
    void restore_vm(const VmState& state);

private:
    struct Host {
        bool sregs2 = false;
        bool xcrs = false;
        bool debugregs = false;
        bool mp_state = false;
        bool vcpu_events = false;
        bool clock = false;
        std::size_t xsave_size = 0;  ///< 0: KVM_GET_FPU; more than 4096: KVM_GET_XSAVE2
        std::vector<std::uint32_t> msrs;
    };
    const Host& host();
    void restore_tsc(const Fd& cpu, unsigned index, const AcceleratorState::Section& section);

    const Fd& system_;
    const Fd& vm_;
    const bool irqchip_;
    const bool pit_;
    std::once_flag asked_;
    Host host_;

    // The vCPUs' time stamp counters keep their distance from one another: all that are restored together move by the same.
    std::mutex mutex_;
    std::optional<std::uint64_t> tsc_shift_;
    std::set<unsigned> shifted_;  ///< vCPUs; one that is there already begins another restoring
};

}  // namespace asyncvm::kvm
