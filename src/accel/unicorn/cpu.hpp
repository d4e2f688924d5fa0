/// One vCPU of a machine on Unicorn.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "accel/unicorn/emulation.hpp"
#include "accel/unicorn/host_writes.hpp"
#include "accel/unicorn/vcpu_lock.hpp"

namespace asyncvm::unicorn {

/// What the vCPUs of a machine have together.
struct Shared {
    const GuestMemory* memory = nullptr;  ///< since Accelerator::map()
    VcpuLock vcpu_lock;
    HostWriteObserver host_writes;
};

class UnicornCpu final : public Cpu {
public:
    /// Opens an engine. Throws Error(host).
    UnicornCpu(unsigned index, std::shared_ptr<Shared> shared);
    ~UnicornCpu() override;

    /// The first call sets the engine up. Throws Error(host) if it does not take the state or the memory.
    Exit run() override;
    /// Not before the first run(), which sets the engine up.
    std::optional<Exit> run_within(std::chrono::nanoseconds limit) override;
    void complete_exit() override;
    void kick() noexcept override;
    Registers registers() override;
    void set_registers(const Registers& registers) override;
    std::optional<FpuRegisters> fpu_registers() override;
    bool set_fpu_registers(const FpuRegisters& registers) override;
    std::vector<std::optional<std::uint64_t>> read_msrs(std::span<const std::uint32_t> indices) override;
    bool write_msr(std::uint32_t index, std::uint64_t value) override;
    bool set_debug(const GuestDebug& debug) override;
    CpuState save_state() override;
    void restore_state(const CpuState& state) override;
    [[nodiscard]] std::uint64_t exit_rip() const noexcept override;

private:
    [[nodiscard]] Emulation& emulation();
    [[nodiscard]] ExtendedState extended();
    void set_extended(const ExtendedState& state);
    [[nodiscard]] Exit exit_of(Emulation::Stop stop) const;

    const unsigned index_;
    std::shared_ptr<Shared> shared_;
    std::unique_ptr<Engine> engine_;         ///< until an emulation takes it
    Registers start_;                        ///< what the guest starts, or goes on, with; valid while there is no emulation
    std::optional<ExtendedState> extended_;  ///< goes with start_; without it the processor's own initial values
    GuestDebug debug_;
    std::atomic<bool> kicked_ = false;
    HostWrites host_writes_;
    std::unique_ptr<Emulation> emulation_;
};

}  // namespace asyncvm::unicorn
