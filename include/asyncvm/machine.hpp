/// A virtual machine: vCPUs, memory, two buses and the devices on them.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/bus.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/outcome.hpp>
#include <asyncvm/statistics.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

namespace asyncvm {

struct MachineConfig {
    std::uint64_t memory_size = 128 << 20;  ///< bytes, a multiple of the page size
    unsigned cpus = 1;
    /// Writes that need no answer are collected, where the accelerator can, when they come in a burst: with at most this
    /// between two of them. 0: never. docs/posted-writes.md
    std::chrono::nanoseconds posted_burst_pause = std::chrono::microseconds(250);
    /// When the machine has been stopped: how long a device may take to react to the cancellation of an access. Then the
    /// access is abandoned, which is told.
    std::chrono::milliseconds cancellation_patience{500};
    Log log{};
    bool statistics = false;  ///< count, and take the time of, every exit: Machine::statistics()
};

/// One machine; a process may hold many, which may share a device loop. Made, run and destroyed on the device loop's thread
/// (or before it runs); stop() and finish() come from any thread.
class Machine {
public:
    /// Throws Error(host).
    Machine(MachineConfig config, std::unique_ptr<Accelerator> accelerator, asio::io_context& device_loop);
    /// The accelerator and the vCPUs are made by prepare() or, at the latest, when they are needed. Throws Error(host).
    Machine(MachineConfig config, AcceleratorMaker make_accelerator, asio::io_context& device_loop);
    /// A machine that still runs is stopped first, and its threads are joined.
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

    /// Until they are made. After the guest has been loaded: memory() must not get boot tables from now on. On the device
    /// loop. Throws what went wrong, Error(host) or Error(usage), each time. Cancelling it stops the machine, and waits
    /// nevertheless.
    [[nodiscard]] awaitable<void> prepared();

    /// Not during run(). Before prepared() set_registers() only keeps the values, and prepared() throws what is wrong with
    /// them. registers() waits for the vCPUs, makes them where nobody does (memory() as for prepared()), and throws what
    /// that does. Both throw std::out_of_range for a vCPU that the machine has not.
    [[nodiscard]] Registers registers(unsigned cpu);
    void set_registers(unsigned cpu, const Registers& registers);

    /// Runs the devices' background work and the guest until it ends or stop() is called. Once for each machine. On the
    /// device loop. When it returns no thread of the machine is left and each pending access has been completed.
    /// Cancelling it stops the machine.
    [[nodiscard]] awaitable<Outcome> run();

    /// Writes that were collected instead of stopping a vCPU, and delivered (docs/posted-writes.md). Any thread.
    [[nodiscard]] std::uint64_t posted_writes() const noexcept;

    /// What has happened until now, while the machine runs or after; nothing before run(), or without
    /// MachineConfig::statistics. On the device loop's thread.
    [[nodiscard]] Statistics statistics() const;

    /// Any thread, any state, also before run(): ends the run with Outcome::stopped. Never blocks, never lost.
    void stop() noexcept;

    /// Any thread: ends the run with `outcome`, unless it already has one. For devices such as the exit port: the access
    /// that calls it is the last that its vCPU makes.
    void finish(Outcome outcome) noexcept;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace asyncvm
