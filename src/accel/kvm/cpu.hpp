/// One vCPU of a KVM machine.
#pragma once

#include <asyncvm/accelerator.hpp>

#include "accel/kvm/fd.hpp"

#include <linux/kvm.h>

#include <atomic>
#include <cstddef>
#include <memory>

#include "accel/kvm/kick.hpp"

namespace asyncvm::kvm {

class KvmCpu final : public Cpu {
public:
    /// `fd` is of KVM_CREATE_VCPU, `run_size` of KVM_GET_VCPU_MMAP_SIZE, `kick_signal` of claim_kick_signal(). Throws
    /// Error(host).
    KvmCpu(Fd fd, std::size_t run_size, bool sync_regs, int kick_signal);

    Exit run() override;
    void complete_exit() override;
    void kick() noexcept override;
    Registers registers() override;
    void set_registers(const Registers& registers) override;
    [[nodiscard]] std::uint64_t exit_rip() const noexcept override;

private:
    Fd fd_;
    Mapping mapping_;
    kvm_run* run_;
    bool sync_regs_;
    bool exit_pending_ = false;  ///< the last exit may want a KVM_RUN to be completed
    std::atomic<bool> kicked_ = false;
    std::shared_ptr<KickTarget> kick_target_;
};

}  // namespace asyncvm::kvm
