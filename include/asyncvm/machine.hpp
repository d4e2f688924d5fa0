/// A virtual machine: vCPUs, memory, two buses and the devices on them.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/bus.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/observer.hpp>
#include <asyncvm/outcome.hpp>
#include <asyncvm/statistics.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace asyncvm {

class MachineCore;

/// What becomes of a vCPU that can't simply go on.
enum class StopAction : std::uint8_t {
    end,    ///< the run ends, with the outcome that belongs to the exit
    hold,   ///< the vCPU rests until Machine::release(); then it goes on after a Debug, and the run ends after another exit
    go_on,  ///< after a Debug: it enters the guest again
};

struct MachineConfig {
    std::uint64_t memory_size = 128 << 20;  ///< bytes, a multiple of the page size
    HugePages huge_pages = HugePages::off;  ///< of the memory
    bool memory_share = false;              ///< the memory is a memfd that other processes can map: GuestMemory::Region::fd
    unsigned cpus = 1;
    /// Writes that need no answer are collected, where the accelerator can, when they come in a burst: with at most this
    /// between two of them. 0: never. docs/posted-writes.md
    std::chrono::nanoseconds posted_burst_pause = std::chrono::microseconds(250);
    /// How long a device may take to react to the cancellation of an access when the machine stops, and how long a pause
    /// waits for an access that a device holds open. Then the access is abandoned, which is logged, or left open.
    std::chrono::milliseconds cancellation_patience{500};
    /// How long a machine that stops waits for a vCPU that does not leave the accelerator. Then its thread is left behind,
    /// which is logged, and the machine's memory is never released.
    std::chrono::milliseconds stop_limit{10'000};
    Log log{};                ///< silent as soon as the Machine is destroyed
    bool statistics = false;  ///< count, and take the time of, every exit: Machine::statistics()
    /// What devices get as their clock and random source; null: the host's, and the clock stands while the machine is
    /// paused.
    std::shared_ptr<MachineClock> clock{};
    std::shared_ptr<RandomSource> random{};
    std::vector<std::shared_ptr<Observer>> observers{};
    /// Keeps the state of the start for reset(), which a start pays for with some twenty system calls a vCPU.
    bool resettable = false;
    /// A machine whose vCPUs have all halted, and that nothing can wake, goes on until it is stopped.
    bool wait_when_halted = false;
    /// Asked, on the vCPU's thread, what becomes of a vCPU whose exit is a Debug, ShutDown, SystemEvent or Failure. Must be
    /// quick, and must not throw or call the machine. Without it the run ends.
    std::function<StopAction(unsigned cpu, const Exit& exit, Cpu& from)> on_stop{};
    /// Part of reset(), after the devices: loads the guest's image again. On the device loop.
    std::function<void()> on_reset{};
};

/// Keeps a machine paused, for as long as it lives. Made by Machine::pause(). Any thread; it may outlive the Machine.
class Pause {
public:
    Pause() noexcept = default;  ///< of nothing
    Pause(Pause&& other) noexcept = default;
    Pause& operator=(Pause&& other) noexcept;
    ~Pause() { release(); }

    /// Before the end of its life. Once; later calls do nothing.
    void release() noexcept;

private:
    friend class MachineCore;
    explicit Pause(std::shared_ptr<MachineCore> core) noexcept : core_(std::move(core)) {}
    std::shared_ptr<MachineCore> core_;
};

/// The handle of one machine; a process may hold many, which may share a device loop. Made, run and destroyed on the device
/// loop's thread (or before it runs). The device loop must outlive it. Where a function may be awaited on any executor, the
/// context of that executor must live until run() has returned: a vCPU's thread that resumes the coroutine may be in that
/// context's post() a little longer. docs/architecture.md draws the states: made, prepared, running, paused, ended.
class Machine {
public:
    /// Throws Error(host).
    Machine(MachineConfig config, std::unique_ptr<Accelerator> accelerator, asio::io_context& device_loop);
    /// The accelerator and the vCPUs are made by prepare() or, at the latest, when they are needed. Throws Error(host).
    Machine(MachineConfig config, AcceleratorMaker make_accelerator, asio::io_context& device_loop);
    /// Any time, also while run() or another coroutine of the machine is suspended: stops the guest and waits until no vCPU
    /// runs, cancellation_patience and stop_limit at most. Coroutines that are suspended keep what they use; run() then
    /// returns Outcome::stopped when the loop resumes it, and destroying the loop destroys them.
    ~Machine();
    Machine(const Machine&) = delete;
    Machine& operator=(const Machine&) = delete;

    [[nodiscard]] GuestMemory& memory() noexcept;
    [[nodiscard]] Bus& ports() noexcept;
    [[nodiscard]] Bus& mmio() noexcept;
    [[nodiscard]] unsigned cpus() const noexcept;

    /// Begins to make the accelerator and the vCPUs on a thread of its own, for them to be ready when the guest has been
    /// loaded and the devices are there. No effect if they are there or are being made.
    void prepare();

    /// Completes when they are made. After the guest has been loaded: memory() must not get boot tables from now on. On the
    /// device loop. Throws what went wrong, Error(host) or Error(usage), each time. Cancelling it stops the machine, and
    /// waits nevertheless.
    [[nodiscard]] awaitable<void> prepared();

    /// Not during run(). Before prepared() set_registers() only keeps the values, and prepared() throws what is wrong with
    /// them. registers() waits for the vCPUs, makes them where nobody does (memory() as for prepared()), and throws what
    /// that does. Both throw std::out_of_range if `cpu >= cpus()`.
    [[nodiscard]] Registers registers(unsigned cpu);
    void set_registers(unsigned cpu, const Registers& registers);

    /// A new driver of the interrupt line `gsi` (0 to 15: the ISA lines). Connected to nothing before prepared(), and where
    /// the accelerator has no interrupt controller. On the device loop.
    [[nodiscard]] IrqLine irq(unsigned gsi);

    /// Runs the devices' background work and the guest until it ends or stop() is called. Once for each machine: throws
    /// Error(usage) the second time. On the device loop. When it returns no thread of the machine is left and each pending
    /// access has been completed. Cancelling it, at any time, stops the machine; it returns the outcome all the same.
    [[nodiscard]] awaitable<Outcome> run();

    /// Completes when nothing of the guest moves: the vCPUs rest between two instructions, what they had posted is
    /// delivered, background work of devices stands at its gate, the machine's clock stands. An access that a device holds
    /// open longer than cancellation_patience stays open. Several pauses may be held; the guest runs when none is. A pause
    /// before run() holds the guest before its first instruction; after the end it has no effect. Any executor, while the
    /// device loop runs. Throws Error(host) for a vCPU that does not leave the accelerator, or code of a device that does
    /// not suspend, within stop_limit, and std::system_error(operation_aborted) when cancelled; the guest goes on then.
    [[nodiscard]] awaitable<Pause> pause();

    /// In a pause of its own: cancels the accesses that devices hold open, resets each device (Device::reset()) and calls
    /// MachineConfig::on_reset, both on the device loop, and gives the vCPUs and what they share (interrupt controllers,
    /// timers) the state that they had at the start. Any executor, while the device loop runs; one reset at a time.
    /// Cancelling it has an effect only until the machine is paused. Throws Error(usage) if no guest runs or the machine is
    /// not MachineConfig::resettable, and what pause() and on_reset throw. Error(host) for a state that the accelerator does
    /// not take back: the run ends then, with Outcome::failed.
    [[nodiscard]] awaitable<void> reset();

    /// Any thread, after prepared(): a reset() is about to follow, and until then the machine does not end because its vCPUs
    /// halt.
    void expect_reset() noexcept;

    /// Any thread, after prepared(), in a pause: vCPU `cpu` rests until release(), whatever pauses are held. Throws
    /// std::out_of_range if `cpu >= cpus()`.
    void hold(unsigned cpu);
    /// Undoes hold() and StopAction::hold. In a pause the vCPU goes on when that ends.
    void release(unsigned cpu);

    /// In a pause, on the device loop: has vCPU `cpu` enter the guest on this thread, for `limit` at most, as its debugger
    /// steps. True: it has stopped where MachineConfig::on_stop holds it. False: it goes on from wherever it is when it is
    /// released and the pause ends; also where it could not be entered so: with observers, before its first run on Unicorn,
    /// while a device holds its access. Throws std::out_of_range if `cpu >= cpus()`.
    [[nodiscard]] bool enter_here(unsigned cpu, std::chrono::nanoseconds limit);

    /// Runs `work` on the thread of vCPU `cpu`, between two instructions or while a device holds its access open; here and
    /// now if that vCPU has no thread: before run(), after it has halted. Completes when `work` has returned, and throws
    /// what it throws. Any executor. Throws std::out_of_range if `cpu >= cpus()`.
    [[nodiscard]] awaitable<void> call(unsigned cpu, std::function<void(Cpu&)> work);

    /// Why a guest that runs may hang, or where it has halted, also after the run: where vCPU `cpu` is, its code, its last
    /// exits with their counts, its registers, as in the report about a guest that has crashed (Outcome::report). The guest
    /// goes on. Empty if that vCPU has not begun, or was stopped.
    /// Completes when the vCPU has left the guest; the same executor and exceptions as call().
    [[nodiscard]] awaitable<std::string> report(unsigned cpu);

    /// Writes that were collected instead of stopping a vCPU, and delivered (docs/posted-writes.md). Any thread.
    [[nodiscard]] std::uint64_t posted_writes() const noexcept;

    /// What has happened until now, while the machine runs or after; nothing before run(), or without
    /// MachineConfig::statistics. On the device loop's thread.
    [[nodiscard]] Statistics statistics() const;

    /// Any thread, any state, also before run(): ends the run with Outcome::stopped. Never blocks, never lost.
    void stop() noexcept;

    /// Any thread: ends the run with `outcome`, unless it already has one. For devices such as the exit port: the access
    /// that calls it is the last that its vCPU makes. Outcome::crashed in an access is a SystemEvent of the vCPU for
    /// MachineConfig::on_stop, behind that access.
    void finish(Outcome outcome) noexcept;

private:
    std::shared_ptr<MachineCore> core_;
};

}  // namespace asyncvm
