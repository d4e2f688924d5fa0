/// A 16550A UART: the serial port of a PC.
#pragma once

#include "devices/uart16550_registers.hpp"
#include "devices/uart_input.hpp"

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
/// chardev has read is what the guest receives. Of the modem inputs DCD is on while the chardev is connected, CTS and DSR
/// are on while the chardev has room.
///
/// Nothing is lost: a character that the chardev has no room for keeps the vCPU waiting, input stays in the chardev until
/// the guest makes room in the receiver, and what the guest clears unread comes again.
class Uart16550 final : public Device {
public:
    /// How long a read of the line status may take while the chardev's queue is full and there is no input: a guest that
    /// polls for room sleeps instead of burning a core.
    static constexpr std::chrono::milliseconds full_queue_pause{5};

    /// `irq`: the number of its interrupt line, if it has one. `stride`: the distance from one register to the next in
    /// bytes: 1, 2, 4 or 8. Throws Error(usage) for another one.
    explicit Uart16550(std::shared_ptr<Chardev> chardev, std::optional<unsigned> irq = {}, unsigned stride = 1);

    /// Gives back what the guest has not read.
    ~Uart16550() override;

    [[nodiscard]] std::string_view name() const noexcept override { return "uart16550"; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1U << stride_shift_; }
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

    /// A register, and by how many bits its byte is shifted in the data of an access.
    struct Place {
        unsigned offset;
        unsigned shift;
    };
    [[nodiscard]] std::optional<Place> place_of(const Access& access) const noexcept;

    /// What the guest does to see its input.
    enum class Look : std::uint8_t { none, status, data };

    // All of these are called with the mutex held.
    [[nodiscard]] bool write_register(unsigned offset, std::uint8_t value) noexcept;
    [[nodiscard]] std::span<const std::byte> hand_over(std::span<const std::byte> characters) noexcept;
    [[nodiscard]] Look look_of(unsigned offset) const noexcept;
    void take_input(Look look) noexcept;
    void put_back_unread() noexcept;
    void follow_chardev() noexcept;
    void publish() noexcept;
    [[nodiscard]] TimePoint deadline() const noexcept;
    [[nodiscard]] std::optional<MachineClock::duration> timeout_left() const noexcept;

    [[nodiscard]] awaitable<void> send(std::span<const std::byte> characters);
    [[nodiscard]] bool polls_a_full_queue(unsigned offset);
    [[nodiscard]] std::uint8_t read_register(unsigned offset);
    [[nodiscard]] TimePoint attend();

    const std::shared_ptr<Chardev> chardev_;
    const std::optional<unsigned> irq_;
    const unsigned stride_shift_;
    MachineClock* clock_ = nullptr;  // without a machine there is no time: no timeout, no pause
    std::shared_ptr<PauseGate> gate_;
    mutable std::mutex mutex_;  // between the vCPUs' accesses and run(); never held across a co_await
    Uart16550Registers registers_;
    UartInput input_;
    IrqLine line_;
    bool sending_ = false;  // a vCPU waits for room in the chardev

    // The character timeout: run() sleeps until armed_until_ at the latest.
    std::uint64_t timed_activity_ = 0;
    TimePoint timed_since_{};  // when that activity was
    TimePoint armed_until_ = TimePoint::max();
};

}  // namespace asyncvm
