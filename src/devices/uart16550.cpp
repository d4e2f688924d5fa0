#include "devices/uart16550.hpp"

#include "devices/room_to_post.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace asyncvm {

/// A vCPU's wait for room in the chardev, however it ends.
class Uart16550::Sending {
public:
    explicit Sending(Uart16550& uart) : uart_(uart) {}
    Sending(const Sending&) = delete;
    Sending& operator=(const Sending&) = delete;
    ~Sending() {
        const std::lock_guard lock(uart_.mutex_);
        uart_.sending_ = false;
        uart_.follow_chardev();
        uart_.publish();
    }

private:
    Uart16550& uart_;
};

Uart16550::Uart16550(std::shared_ptr<Chardev> chardev, IrqLine irq, std::chrono::milliseconds pause)
    : chardev_(std::move(chardev)), pause_(pause), irq_(std::move(irq)) {
    follow_chardev();
    registers_.reset();  // a client that is there already is not a change of the modem lines
}

awaitable<void> Uart16550::write(const Access& access) {
    const auto character = static_cast<std::byte>(access.data);
    std::span<const std::byte> unsent;
    {
        const std::lock_guard lock(mutex_);
        const bool sends =
            registers_.write(static_cast<unsigned>(access.offset), std::to_integer<std::uint8_t>(character)).has_value();
        // An edge-triggered interrupt controller must see that the transmitter was not empty for a moment.
        irq_.set(registers_.interrupt_pending());
        if (sends) unsent = hand_over(std::span(&character, 1));
        take_input(false);
        follow_chardev();
        publish();
    }
    if (!unsent.empty()) co_await send(unsent);
}

awaitable<void> Uart16550::write_string(const Access& first, std::span<const std::byte> data) {
    bool sends = false;
    std::span<const std::byte> unsent;
    {
        const std::lock_guard lock(mutex_);
        sends = (first.offset & 7U) == Uart16550Registers::data && first.size == 1 && registers_.sends() && !data.empty();
        if (sends) {
            // One character stands for all: they leave together.
            static_cast<void>(registers_.write(Uart16550Registers::data, std::to_integer<std::uint8_t>(data.back())));
            irq_.set(registers_.interrupt_pending());
            unsent = hand_over(data);
            take_input(false);
            follow_chardev();
            publish();
        }
    }
    if (!sends) {
        co_await Device::write_string(first, data);
    } else if (!unsent.empty()) {
        co_await send(unsent);
    }
}

awaitable<void> Uart16550::read(Access& access) {
    const auto offset = static_cast<unsigned>(access.offset);
    const auto seen = chardev_->changed().generation();
    const bool pause = polls_a_full_queue(offset);
    if (pause) co_await chardev_->changed().wait(seen, pause_);
    access.data = read_register(offset);
}

bool Uart16550::posts(std::uint64_t offset) const noexcept {
    if ((offset & 7U) != Uart16550Registers::data || !room_to_post(*chardev_)) return false;
    const std::lock_guard lock(mutex_);
    return registers_.sends() && !registers_.transmitter_interrupt_enabled();
}

awaitable<void> Uart16550::run() {
    for (;;) {
        const auto seen = chardev_->changed().generation();
        const auto limit = attend();
        co_await chardev_->changed().wait(seen, limit);
    }
}

void Uart16550::reset() {
    const std::lock_guard lock(mutex_);
    registers_.reset();
    follow_chardev();
    publish();
}

std::span<const std::byte> Uart16550::hand_over(std::span<const std::byte> characters) noexcept {
    const auto unsent = characters.subspan(chardev_->write_some(characters));
    sending_ = !unsent.empty();
    return unsent;
}

awaitable<void> Uart16550::send(std::span<const std::byte> characters) {
    const Sending sending(*this);
    co_await chardev_->write(characters);
}

bool Uart16550::polls_a_full_queue(unsigned offset) {
    if ((offset & 7U) != Uart16550Registers::line_status) return false;
    const std::lock_guard lock(mutex_);
    take_input(true);
    follow_chardev();
    publish();
    return !registers_.data_ready() && !registers_.transmitter_empty();
}

std::uint8_t Uart16550::read_register(unsigned offset) {
    const std::lock_guard lock(mutex_);
    take_input(registers_.shows_input(offset));
    follow_chardev();
    const std::uint8_t value = registers_.read(offset);
    // What this read has cleared must be seen as low before more input raises the line again: see wanted().
    publish();
    take_input(false);
    publish();
    return value;
}

/// A guest that has neither enabled the interrupt nor looks leaves its input in the chardev: the bytes that a client sends
/// while the guest still sets the UART up would otherwise go when it enables and clears the FIFOs.
void Uart16550::take_input(bool guest_looks) noexcept {
    if (!guest_looks && !registers_.received_data_interrupt_enabled()) return;
    std::array<std::byte, Uart16550Registers::fifo_size> buffer;
    const std::size_t wanted = registers_.wanted();
    if (wanted == 0) return;
    const std::size_t taken = chardev_->read_some(std::span(buffer).first(wanted));
    for (std::size_t i = 0; i < taken; ++i) registers_.receive(std::to_integer<std::uint8_t>(buffer[i]));
}

void Uart16550::follow_chardev() noexcept {
    const bool connected = chardev_->connected();
    registers_.set_modem_lines({.cts = connected, .dsr = connected, .ri = false, .dcd = connected});
    registers_.set_transmitter_ready(!sending_ && chardev_->writable());
}

/// The interrupt line, and a run() that sleeps too long for the character timeout.
void Uart16550::publish() noexcept {
    irq_.set(registers_.interrupt_pending());
    if (!registers_.timeout_running()) return;
    if (timed_activity_ != registers_.receiver_activity()) {
        timed_activity_ = registers_.receiver_activity();
        deadline_ = Clock::now() + 4 * registers_.character_time();
    }
    if (deadline_ < armed_until_) {
        armed_until_ = deadline_;
        chardev_->changed().notify();
    }
}

/// What run() does when something has changed. Returns how long it may sleep.
Uart16550::Clock::duration Uart16550::attend() {
    const std::lock_guard lock(mutex_);
    armed_until_ = Clock::time_point::min();  // run() is awake: publish() need not wake it
    take_input(false);
    follow_chardev();
    const bool timed = timed_activity_ == registers_.receiver_activity();
    if (timed && registers_.timeout_running() && Clock::now() >= deadline_) registers_.receive_timeout();
    publish();
    armed_until_ = registers_.timeout_running() ? deadline_ : Clock::time_point::max();
    if (armed_until_ == Clock::time_point::max()) return Event::no_limit;
    return std::max(deadline_ - Clock::now(), Clock::duration::zero());
}

}  // namespace asyncvm
