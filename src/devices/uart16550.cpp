#include "devices/uart16550.hpp"

#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace asyncvm {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view uart16550_name = "uart16550";

}  // namespace

/// The time in which a vCPU waits for room in the chardev, however the wait ends.
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

/// The state beside the registers is how long the character timeout has still to run.
struct Uart16550::Saved {
    static constexpr unsigned state_version = 1;
    Uart16550Registers registers{};
    std::optional<MachineClock::duration> timeout_left{};

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("registers", registers);
        archive.field("timeout left", timeout_left);
    }
};

Uart16550::Uart16550(std::shared_ptr<Chardev> chardev, std::optional<unsigned> irq)
    : chardev_(std::move(chardev)), irq_(irq) {
    follow_chardev();
    registers_.reset();  // a client that is there already is not a change of the modem lines
}

void Uart16550::attached(const DeviceContext& context) {
    const std::lock_guard lock(mutex_);
    clock_ = &context.clock;
    gate_ = context.gate;
    if (irq_) line_ = context.irq(*irq_);
    publish();
}

awaitable<void> Uart16550::write(const Access& access) {
    const auto character = static_cast<std::byte>(access.data);
    std::span<const std::byte> unsent;
    {
        const std::lock_guard lock(mutex_);
        const bool sends =
            registers_.write(static_cast<unsigned>(access.offset), std::to_integer<std::uint8_t>(character)).has_value();
        // An edge-triggered interrupt controller must see that the transmitter was not empty for a moment.
        line_.set(registers_.interrupt_pending());
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
            // The registers see the last one only: all characters leave together.
            static_cast<void>(registers_.write(Uart16550Registers::data, std::to_integer<std::uint8_t>(data.back())));
            line_.set(registers_.interrupt_pending());
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
    if (pause) co_await clock_->wait(chardev_->changed(), seen, clock_->now() + full_queue_pause);
    access.data = read_register(offset);
}

bool Uart16550::posts(std::uint64_t offset) const noexcept {
    if ((offset & 7U) != Uart16550Registers::data || !room_to_post(*chardev_)) return false;
    const std::lock_guard lock(mutex_);
    return registers_.sends() && !registers_.transmitter_interrupt_enabled();
}

awaitable<void> Uart16550::run() {
    for (;;) {
        if (gate_) co_await PauseGate::passed(gate_);
        const auto seen = chardev_->changed().generation();
        const auto until = attend();
        if (until == TimePoint::max()) {
            co_await chardev_->changed().wait(seen);
        } else {
            co_await clock_->wait(chardev_->changed(), seen, until);
        }
    }
}

void Uart16550::reset() {
    const std::lock_guard lock(mutex_);
    registers_.reset();
    follow_chardev();
    publish();
}

void Uart16550::save(StateWriter& writer) {
    const std::lock_guard lock(mutex_);
    Saved saved{registers_, timeout_left()};
    save_state(writer, name(), saved);
}

void Uart16550::restore(StateReader& reader) {
    Saved saved;
    restore_state(reader, name(), saved);
    const std::lock_guard lock(mutex_);
    registers_ = saved.registers;
    timed_activity_ = registers_.receiver_activity();
    const auto longest = 4 * registers_.character_time();
    deadline_ = TimePoint::min();
    if (clock_ != nullptr) deadline_ = clock_->now() + std::clamp(saved.timeout_left.value_or(longest), 0ns, longest);
    follow_chardev();
    publish();
}

std::optional<MachineClock::duration> Uart16550::timeout_left() const noexcept {
    if (clock_ == nullptr || !registers_.timeout_running()) return std::nullopt;
    return std::max(deadline_ - clock_->now(), MachineClock::duration::zero());
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
    if ((offset & 7U) != Uart16550Registers::line_status || clock_ == nullptr) return false;
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

/// Input stays in the chardev until the guest enables the interrupt or reads: otherwise the bytes that a client sends while
/// the guest sets the UART up would be lost when the guest enables and clears the FIFOs.
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

/// Sets the interrupt line, and wakes run() if it sleeps longer than the character timeout.
void Uart16550::publish() noexcept {
    line_.set(registers_.interrupt_pending());
    if (!registers_.timeout_running() || clock_ == nullptr) return;
    if (timed_activity_ != registers_.receiver_activity()) {
        timed_activity_ = registers_.receiver_activity();
        deadline_ = clock_->now() + 4 * registers_.character_time();
    }
    if (deadline_ < armed_until_) {
        armed_until_ = deadline_;
        chardev_->changed().notify();
    }
}

/// Brings the registers up to date. Returns the time at which run() calls it again even if nothing changes.
Uart16550::TimePoint Uart16550::attend() {
    const std::lock_guard lock(mutex_);
    armed_until_ = TimePoint::min();  // run() is awake: publish() need not wake it
    take_input(false);
    follow_chardev();
    const bool timed = timed_activity_ == registers_.receiver_activity();
    if (timed && clock_ != nullptr && registers_.timeout_running() && clock_->now() >= deadline_) {
        registers_.receive_timeout();
    }
    publish();
    armed_until_ = clock_ != nullptr && registers_.timeout_running() ? deadline_ : TimePoint::max();
    return armed_until_;
}

namespace {

constexpr std::array uart16550_keys{
    DeviceKey{"chardev", "SPEC", "the other end, as for --serial (default stdio; ,, for a comma)"},
    DeviceKey{"irq", "N", "its interrupt line, 0 to 23 (default: 4 or 3 at the ports of COM1 to COM4, else none)"},
};
constexpr std::array uart16550_ports{com_ports.front().ports};

std::optional<unsigned> irq_of(const DeviceOptions& options) {
    if (const auto irq = options.number("irq", 23)) return static_cast<unsigned>(*irq);
    if (options.text("mmio")) return std::nullopt;
    const auto port = options.number("port", 0xffff).value_or(com_ports.front().ports.first);
    const auto com = std::ranges::find(com_ports, port, [](const ComPort& com_port) { return com_port.ports.first; });
    return com != com_ports.end() ? std::optional(com->irq) : std::nullopt;
}

}  // namespace

std::shared_ptr<Device> make_uart16550(std::shared_ptr<Chardev> chardev, std::optional<unsigned> irq) {
    return std::make_shared<Uart16550>(std::move(chardev), irq);
}

constinit const DeviceKind uart16550_kind{
    .name = uart16550_name,
    .help = "16550A serial port",
    .keys = uart16550_keys,
    .ports = uart16550_ports,
    .size = 8,
    .by_default = false,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        const auto irq = irq_of(options);
        return make_uart16550(open_output(options, host), irq);
    },
};

}  // namespace asyncvm
