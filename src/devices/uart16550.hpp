/// A 16550A UART: the serial port of a PC.
#pragma once

#include "devices/uart16550_registers.hpp"

#include <asyncvm/chardev.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/irq_line.hpp>

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>

namespace asyncvm {

/// Eight registers, one byte each (docs/devices/uart16550.md). What the guest transmits goes to the chardev, what the
/// chardev has read is what the guest receives, and the modem inputs DCD, DSR and CTS are on while the chardev is connected.
///
/// Nothing is lost: a character that the chardev has no room for keeps the vCPU waiting, and input stays in the chardev
/// until the guest makes room in the receiver.
class Uart16550 final : public Device {
public:
    /// How long a read of the line status may take while the chardev's queue is full and there is no input: a guest that
    /// polls for room sleeps instead of burning a core.
    static constexpr std::chrono::milliseconds full_queue_pause{5};

    /// `irq`: the number of its interrupt line, if it has one.
    explicit Uart16550(std::shared_ptr<Chardev> chardev, std::optional<unsigned> irq = {});

    [[nodiscard]] std::string_view name() const noexcept override { return "uart16550"; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }
    void attached(const DeviceContext& context) override;
    [[nodiscard]] awaitable<void> write(const Access& access) override;
    [[nodiscard]] awaitable<void> read(Access& access) override;
    [[nodiscard]] awaitable<void> write_string(const Access& first, std::span<const std::byte> data) override;
    /// Characters that are to be sent, where no transmitter interrupt is wanted for each and the chardev has room.
    [[nodiscard]] bool posts(std::uint64_t offset) const noexcept override;
    [[nodiscard]] awaitable<void> run() override;
    void reset() override;
    void save(StateWriter& writer) override;
    void restore(StateReader& reader) override;

private:
    using TimePoint = MachineClock::time_point;
    class Sending;
    struct Saved;

    // All of these are called with the mutex held.
    [[nodiscard]] std::span<const std::byte> hand_over(std::span<const std::byte> characters) noexcept;
    void take_input(bool guest_looks) noexcept;
    void follow_chardev() noexcept;
    void publish() noexcept;
    [[nodiscard]] std::optional<MachineClock::duration> timeout_left() const noexcept;

    [[nodiscard]] awaitable<void> send(std::span<const std::byte> characters);
    [[nodiscard]] bool polls_a_full_queue(unsigned offset);
    [[nodiscard]] std::uint8_t read_register(unsigned offset);
    [[nodiscard]] TimePoint attend();

    const std::shared_ptr<Chardev> chardev_;
    const std::optional<unsigned> irq_;
    MachineClock* clock_ = nullptr;  // without a machine there is no time: no timeout, no pause
    std::shared_ptr<PauseGate> gate_;
    mutable std::mutex mutex_;       // between the vCPUs' accesses and run(); never held across a co_await
    Uart16550Registers registers_;
    IrqLine line_;
    bool sending_ = false;  // a vCPU waits for room in the chardev

    // The character timeout: run() sleeps until armed_until_ at the latest.
    std::uint64_t timed_activity_ = 0;
    TimePoint deadline_{};
    TimePoint armed_until_ = TimePoint::max();
};

}  // namespace asyncvm
