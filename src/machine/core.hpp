/// A machine, behind the handle that the embedder holds.
#pragma once

#include <asyncvm/device_context.hpp>
#include <asyncvm/machine.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "async/async_mutex.hpp"
#include "bus/device_slot.hpp"
#include "bus/io_bus.hpp"
#include "bus/watched_messages.hpp"
#include "machine/background.hpp"
#include "machine/clock.hpp"
#include "machine/coalesced_writes.hpp"
#include "machine/doorbells.hpp"
#include "machine/lifecycle.hpp"
#include "machine/observers.hpp"
#include "machine/preparation.hpp"
#include "machine/vcpu.hpp"
#include "stats/machine_recorder.hpp"

namespace asyncvm {

/// Every coroutine that can suspend holds the core, so that a handle may go at any time: the core ends when the last of them
/// has. Coroutines are static and take the core first for that reason.
class MachineCore : public std::enable_shared_from_this<MachineCore> {
public:
    MachineCore(MachineConfig config, AcceleratorMaker make, asio::io_context& loop);
    MachineCore(MachineConfig config, std::unique_ptr<Accelerator> accelerator, asio::io_context& loop);
    MachineCore(const MachineCore&) = delete;
    MachineCore& operator=(const MachineCore&) = delete;
    ~MachineCore();

    /// The handle is gone: the guest ends, no thread of the machine is left, nothing is logged any more.
    void let_go() noexcept;

    void stop() noexcept;
    void finish(Outcome outcome) noexcept;

    [[nodiscard]] static awaitable<void> prepared(std::shared_ptr<MachineCore> self);
    [[nodiscard]] static awaitable<Outcome> run(std::shared_ptr<MachineCore> self);
    [[nodiscard]] static awaitable<Pause> pause(std::shared_ptr<MachineCore> self);
    [[nodiscard]] static awaitable<void> reset(std::shared_ptr<MachineCore> self);
    void expect_reset() noexcept { reset_expected_ = true; }
    [[nodiscard]] static awaitable<void> call(std::shared_ptr<MachineCore> self, unsigned cpu,
                                              std::function<void(Cpu&)> work);

    [[nodiscard]] static awaitable<std::string> report(std::shared_ptr<MachineCore> self, unsigned cpu);

    /// One pause less. Any thread.
    void release_pause() noexcept;

    [[nodiscard]] IrqLine irq(unsigned gsi);

    /// Makes it here and now, if no thread has begun to.
    [[nodiscard]] Cpu& cpu(unsigned index);
    /// After prepared().
    [[nodiscard]] Vcpu& vcpu(unsigned index) { return *vcpus_.at(index); }
    void set_registers(unsigned cpu, const Registers& registers);
    void prepare();
    [[nodiscard]] std::uint64_t posted_writes() noexcept;
    [[nodiscard]] Statistics statistics() const;

    [[nodiscard]] const MachineConfig& config() const noexcept { return config_; }
    [[nodiscard]] GuestMemory& memory() noexcept { return memory_; }
    [[nodiscard]] Bus& ports() noexcept { return ports_; }
    [[nodiscard]] Bus& mmio() noexcept { return mmio_; }

private:
    void adopt_prepared();
    void adopt(std::unique_ptr<Accelerator> accelerator, std::vector<std::unique_ptr<Cpu>> cpus);
    void stop_vcpus() noexcept;
    void vcpu_ended(std::optional<Outcome> outcome);
    [[nodiscard]] bool has_outcome();
    [[nodiscard]] Lifecycle::State state();
    [[nodiscard]] InterruptController* messages();
    void introduce_devices();
    void introduce_observers();
    void start_vcpus();
    void start_vcpu(Vcpu& vcpu);
    void restart_halted();
    void begin_rest() noexcept;
    void end_rest() noexcept;
    void report_stuck();
    [[nodiscard]] std::string describe(const VcpuPlace& place) const;
    [[nodiscard]] Outcome how_it_halted();
    /// Whether the machine goes on when all vCPUs have halted.
    [[nodiscard]] bool outlives_halt() const noexcept { return config_.wait_when_halted || reset_expected_.load(); }
    [[nodiscard]] bool join_within(std::chrono::milliseconds limit);
    void leave_behind();
    void keep_abandoned();

    static awaitable<Outcome> run_guest(std::shared_ptr<MachineCore> self);
    static awaitable<void> wait_for_vcpus(std::shared_ptr<MachineCore> self);
    static awaitable<void> watch_sleep(std::shared_ptr<MachineCore> self);
    static awaitable<void> come_to_rest(std::shared_ptr<MachineCore> self, bool all);
    [[nodiscard]] static awaitable<void> end_device_work(std::shared_ptr<MachineCore> self);
    static awaitable<void> reset_at_rest(std::shared_ptr<MachineCore> self);
    static awaitable<void> restore_start(std::shared_ptr<MachineCore> self);
    [[nodiscard]] Error no_rest(const Vcpu& vcpu) const;
    static awaitable<void> end_device_code(std::shared_ptr<MachineCore> self);
    static awaitable<void> drain_posted(std::shared_ptr<MachineCore> self);

    // The order of destruction: vCPUs (with abandoned accesses, which still hold device slots of a bus), interrupt pins,
    // buses with their devices, accelerator, memory.
    const std::shared_ptr<std::atomic<bool>> heard_ = std::make_shared<std::atomic<bool>>(true);  ///< the handle is there
    MachineConfig config_;
    GuestMemory memory_;
    std::unique_ptr<Accelerator> accelerator_;
    asio::io_context& device_loop_;
    Observers observers_;
    const std::shared_ptr<PausableClock> own_clock_;  ///< null where the configuration has another
    std::vector<std::unique_ptr<IrqPin>> pins_;       ///< by GSI; null until irq() is called for it
    std::unique_ptr<WatchedMessages> messages_;       ///< what devices get as the interrupt controller, with observers
    const std::shared_ptr<DeviceSlots> slots_;
    IoBus ports_;
    IoBus mmio_;
    std::shared_ptr<stats::MachineRecorder> recorder_;  ///< from the start of the run on, if statistics are wanted
    std::shared_ptr<CoalescedWrites> coalesced_;
    std::mutex mutex_;
    Lifecycle lifecycle_;
    AsyncMutex reset_mutex_;  ///< of reset()
    std::optional<Outcome> outcome_;
    std::atomic<unsigned> running_ = 0;
    std::atomic<bool> reset_expected_ = false;
    // Shared, because the last vCPU's thread still notifies while run() is on its way out.
    std::shared_ptr<Event> change_ = std::make_shared<Event>();
    std::shared_ptr<PauseGate> gate_ = std::make_shared<PauseGate>();
    std::vector<std::unique_ptr<Vcpu>> vcpus_;
    std::optional<Preparation> preparation_;  ///< until its result is taken and its thread has ended
    bool mapped_ = false;
    VmState started_as_;  ///< if the machine is resettable
};

}  // namespace asyncvm
