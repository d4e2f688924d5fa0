/// What a device gets of the machine that it is attached to.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/interrupt_controller.hpp>
#include <asyncvm/irq_line.hpp>
#include <asyncvm/log.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>

namespace asyncvm {

/// The machine's clock. A device asks it for the time and never the host: the clock of a paused machine stands, and that of
/// a test is set by hand.
class MachineClock {
public:
    using duration = std::chrono::nanoseconds;
    using time_point = std::chrono::time_point<std::chrono::steady_clock, duration>;

    MachineClock() = default;
    MachineClock(const MachineClock&) = delete;
    MachineClock& operator=(const MachineClock&) = delete;
    virtual ~MachineClock() = default;

    /// Time of the machine, which never goes back. Any thread.
    [[nodiscard]] virtual time_point now() const noexcept = 0;

    /// Time of day, for a real-time clock. Any thread.
    [[nodiscard]] virtual std::chrono::system_clock::time_point time_of_day() const noexcept = 0;

    /// Completes when now() has reached `time`. Any executor. Throws std::system_error(operation_aborted) when cancelled.
    [[nodiscard]] virtual awaitable<void> wait_until(time_point time) = 0;

    /// Completes when `event` has moved past `seen`, when now() has reached `time`, and perhaps sooner: look again. The
    /// clock may notify `event`, which lives until then. Any executor. Throws std::system_error(operation_aborted) when
    /// cancelled.
    [[nodiscard]] virtual awaitable<void> wait(Event& event, std::uint64_t seen, time_point time) = 0;
};

/// The machine's source of random bytes. A device asks it and never the host.
class RandomSource {
public:
    RandomSource() = default;
    RandomSource(const RandomSource&) = delete;
    RandomSource& operator=(const RandomSource&) = delete;
    virtual ~RandomSource() = default;

    /// Any thread.
    virtual void fill(std::span<std::byte> bytes) noexcept = 0;
};

/// Closed while the machine is paused. Background work passes it before it changes what the guest can see: takes input,
/// raises an interrupt, moves data.
class PauseGate {
public:
    [[nodiscard]] bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }

    /// Completes when the gate is open, at once if it is. Any executor. Throws std::system_error(operation_aborted) when
    /// cancelled.
    [[nodiscard]] static awaitable<void> passed(std::shared_ptr<PauseGate> gate);

    /// The machine's. Any thread.
    void open() noexcept;
    void close() noexcept;

private:
    std::atomic<bool> open_ = true;
    Event changed_;
};

/// The surroundings of a device, valid from Device::attached() until the device is destroyed. What it refers to belongs to
/// the machine, which outlives its devices' work.
struct DeviceContext {
    GuestMemory& memory;
    asio::io_context& loop;  ///< the device loop
    Log log{};               ///< the machine's: a line should name the device
    MachineClock& clock;
    RandomSource& random;
    std::shared_ptr<PauseGate> gate = std::make_shared<PauseGate>();
    /// A new driver of the interrupt line `irq`, 0 to 23. It is connected to nothing where the machine has no interrupt
    /// controller.
    std::function<IrqLine(unsigned irq)> irq{};
    /// For messages (MSI-X); null where the machine has no interrupt controller. Its lines are irq()'s alone.
    InterruptController* interrupts = nullptr;
    /// For those who watch the machine (Observer::device_tells): one line about something rare. Any thread. May be empty.
    std::function<void(std::string_view what)> tell{};
    /// The machine, for coroutines that a device spawns itself and that may outlive run(): one that holds it has all of the
    /// above. Empty without a machine.
    std::weak_ptr<void> machine{};
};

}  // namespace asyncvm
