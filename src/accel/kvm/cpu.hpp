/// One vCPU of a KVM machine.
#pragma once

#include <asyncvm/accelerator.hpp>

#include "accel/kvm/fd.hpp"

#include <linux/kvm.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "accel/kvm/irqchip.hpp"
#include "accel/kvm/kick.hpp"
#include "accel/kvm/kick_timer.hpp"
#include "accel/kvm/state_io.hpp"

namespace asyncvm::kvm {

class KvmCpu final : public Cpu {
public:
    /// What the vCPUs of a machine have in common.
    struct Common {
        std::size_t run_size = 0;             ///< of KVM_GET_VCPU_MMAP_SIZE
        bool sync_regs = false;               ///< general registers are in the shared page after each exit
        bool sync_sregs = false;              ///< the others can be there as well
        int kick_signal = 0;                  ///< of claim_kick_signal()
        StateIo* state_io = nullptr;          ///< outlives the vCPU
        const KvmIrqchip* irqchip = nullptr;  ///< null: none; outlives the vCPU
    };

    /// `fd` is of KVM_CREATE_VCPU. Throws Error(host).
    KvmCpu(Fd fd, unsigned index, const Common& common);

    Exit run() override;
    std::optional<Exit> run_within(std::chrono::nanoseconds limit) override;
    void complete_exit() override;
    void kick() noexcept override;
    Registers registers() override;
    void set_registers(const Registers& registers) override;
    std::optional<FpuRegisters> fpu_registers() override;
    bool set_fpu_registers(const FpuRegisters& registers) override;
    std::vector<std::optional<std::uint64_t>> read_msrs(std::span<const std::uint32_t> indices) override;
    bool write_msr(std::uint32_t index, std::uint64_t value) override;
    std::optional<InterruptState> interrupt_state() override;
    bool set_debug(const GuestDebug& debug) override;
    bool raise_nmi() override;
    CpuState save_state() override;
    void restore_state(const CpuState& state) override;
    [[nodiscard]] Activity activity() override;
    [[nodiscard]] std::uint64_t exit_rip() const noexcept override;

private:
    [[nodiscard]] bool access_pending() const noexcept;
    [[nodiscard]] Exit finish_step();
    [[nodiscard]] std::size_t avx_offset() const;
    void add_to_dr6(std::uint64_t bits) const;

    Fd fd_;
    const unsigned index_;
    StateIo& state_io_;
    const KvmIrqchip* irqchip_;
    Mapping mapping_;
    kvm_run* run_;
    const bool sync_regs_;
    const bool sync_sregs_;
    bool in_page_ = false;       ///< all registers are in the shared page, as they are now
    bool exit_pending_ = false;  ///< the last exit may want a KVM_RUN to be completed
    bool steps_ = false;         ///< GuestDebug::single_step
    bool step_again_ = false;    ///< KVM has to be told before the next step
    kvm_guest_debug debug_{};    ///< what KVM was told
    std::atomic<bool> kicked_ = false;
    std::shared_ptr<KickTarget> kick_target_;
    std::optional<KickTimer> kick_timer_;  ///< of run_within()
};

}  // namespace asyncvm::kvm
