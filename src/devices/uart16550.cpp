#include "devices/uart16550.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace asyncvm {

using namespace std::chrono_literals;

namespace {

constexpr std::string_view uart16550_name = "uart16550";
constexpr int timeout_characters = 4;  // 8.11

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

/// The state beside the registers: what the guest has cleared unread, and how long the character timeout has still to run.
struct Uart16550::Saved {
    static constexpr unsigned state_version = Uart16550Registers::state_version;
    Uart16550Registers registers{};
    UartInput input{};
    std::optional<MachineClock::duration> timeout_left{};

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("registers", registers);
        if (archive.version() >= 2) archive.field("input", input);
        archive.field("timeout left", timeout_left);
    }
};

Uart16550::Uart16550(std::shared_ptr<Chardev> chardev, std::optional<unsigned> irq, unsigned stride)
    : chardev_(std::move(chardev)), irq_(irq), stride_shift_(static_cast<unsigned>(std::countr_zero(stride))) {
    if (!std::has_single_bit(stride) || stride > 8) {
        throw Error(ErrorKind::usage, fmt::format("a UART's registers can't be {} bytes apart (1, 2, 4 or 8)", stride));
    }
    follow_chardev();
    registers_.reset();  // a client that is there already is not a change of the modem lines
}

Uart16550::~Uart16550() {
    put_back_unread();
    std::array<std::uint8_t, UartInput::most> unread;
    chardev_->give_back(input_.take(unread));
}

void Uart16550::attached(const DeviceContext& context) {
    const std::lock_guard lock(mutex_);
    clock_ = &context.clock;
    gate_ = context.gate;
    if (irq_) line_ = context.irq(*irq_);
    publish();
}

std::optional<Uart16550::Place> Uart16550::place_of(const Access& access) const noexcept {
    const auto index = (access.offset + (1U << stride_shift_) - 1) >> stride_shift_;
    const auto skipped = (index << stride_shift_) - access.offset;
    if (skipped >= access.size) return std::nullopt;
    return Place{static_cast<unsigned>(index) & 7U, static_cast<unsigned>(8 * skipped)};
}

awaitable<void> Uart16550::write(const Access& access) {
    const auto place = place_of(access);
    if (!place) co_return;
    const auto character = static_cast<std::byte>(access.data >> place->shift);
    std::span<const std::byte> unsent;
    {
        const std::lock_guard lock(mutex_);
        const bool sends = write_register(place->offset, std::to_integer<std::uint8_t>(character));
        // An edge-triggered interrupt controller must see that the transmitter was not empty for a moment.
        line_.set(registers_.interrupt_pending());
        if (sends) unsent = hand_over(std::span(&character, 1));
        take_input(Look::none);
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
        const auto place = place_of(first);
        sends = place && place->offset == Uart16550Registers::data && first.size == 1 && registers_.sends() && !data.empty();
        if (sends) {
            // The registers see the last one only: all characters leave together.
            static_cast<void>(registers_.write(Uart16550Registers::data, std::to_integer<std::uint8_t>(data.back())));
            line_.set(registers_.interrupt_pending());
            unsent = hand_over(data);
            take_input(Look::none);
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
    const auto place = place_of(access);
    access.data = 0;
    if (!place) co_return;
    const auto seen = chardev_->changed().generation();
    const bool pause = polls_a_full_queue(place->offset);
    if (pause) co_await clock_->wait(chardev_->changed(), seen, clock_->now() + full_queue_pause);
    access.data = std::uint64_t{read_register(place->offset)} << place->shift;
}

bool Uart16550::posts(std::uint64_t offset) const noexcept {
    const auto place = place_of({.offset = offset});
    if (!place || place->offset != Uart16550Registers::data || !room_to_post(*chardev_)) return false;
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
    put_back_unread();
    registers_.reset();
    follow_chardev();
    publish();
}

void Uart16550::save(StateWriter& writer) {
    const std::lock_guard lock(mutex_);
    Saved saved{registers_, input_, timeout_left()};
    save_state(writer, name(), saved);
}

void Uart16550::restore(StateReader& reader) {
    Saved saved;
    restore_state(reader, name(), saved);
    const std::lock_guard lock(mutex_);
    registers_ = saved.registers;
    input_ = saved.input;
    timed_activity_ = registers_.receiver_activity();
    const auto longest = timeout_characters * registers_.character_time();
    const auto passed = longest - std::clamp(saved.timeout_left.value_or(longest), 0ns, longest);
    if (clock_ != nullptr) timed_since_ = clock_->now() - passed;
    follow_chardev();
    publish();
}

/// Of the character timeout. It follows the divisor and the format: a driver may set them while characters wait.
Uart16550::TimePoint Uart16550::deadline() const noexcept {
    return timed_since_ + timeout_characters * registers_.character_time();
}

std::optional<MachineClock::duration> Uart16550::timeout_left() const noexcept {
    if (clock_ == nullptr || !registers_.timeout_running()) return std::nullopt;
    return std::max(deadline() - clock_->now(), MachineClock::duration::zero());
}

/// Returns whether a character leaves.
bool Uart16550::write_register(unsigned offset, std::uint8_t value) noexcept {
    if (offset == Uart16550Registers::identification && registers_.clears_receiver(value)) put_back_unread();
    return registers_.write(offset, value).has_value();
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
    const bool shows_room = offset == Uart16550Registers::line_status || offset == Uart16550Registers::modem_status;
    if (!shows_room || clock_ == nullptr) return false;
    const std::lock_guard lock(mutex_);
    follow_chardev();
    publish();
    const bool has_input = registers_.data_ready() || input_.waiting() || chardev_->readable();
    return !has_input && !registers_.transmitter_empty();
}

std::uint8_t Uart16550::read_register(unsigned offset) {
    const std::lock_guard lock(mutex_);
    take_input(look_of(offset));
    follow_chardev();
    const std::uint8_t value = registers_.read(offset);
    // What this read has cleared must be seen as low before more input raises the line again: see wanted().
    publish();
    take_input(Look::none);
    publish();
    return value;
}

Uart16550::Look Uart16550::look_of(unsigned offset) const noexcept {
    if (!registers_.shows_input(offset)) return Look::none;
    return offset == Uart16550Registers::data ? Look::data : Look::status;
}

/// Input stays in the chardev until the guest enables the interrupt or reads: it gets what it has asked for, and no more is
/// here when the guest sets the UART up.
void Uart16550::take_input(Look look) noexcept {
    const bool polls = !registers_.received_data_interrupt_enabled();
    if (!polls) input_.end_polling();
    if (polls && look == Look::none) return;
    std::size_t wanted = registers_.wanted();
    if (wanted == 0) return;
    if (polls) wanted = std::min(wanted, input_.allowance(look == Look::data, !registers_.data_ready()));
    std::array<std::uint8_t, Uart16550Registers::fifo_size> buffer;
    const auto room = std::span(buffer).first(wanted);
    std::size_t taken = input_.take(room);
    const bool broken = taken < wanted && chardev_->take_break();
    if (!broken) taken += chardev_->read_some(std::as_writable_bytes(room.subspan(taken)));
    if (polls) input_.spend(taken + (broken ? 1 : 0));
    for (const std::uint8_t character : room.first(taken)) registers_.receive(character);
    if (broken) registers_.receive_break();
}

void Uart16550::put_back_unread() noexcept {
    std::array<std::uint8_t, Uart16550Registers::fifo_size> unread;
    input_.put_back(std::span(unread).first(registers_.copy_unread(unread)));
}

void Uart16550::follow_chardev() noexcept {
    // CTS and DSR are flow control: a guest that honours them prints to the backlog also while nobody is connected.
    const bool room = !sending_ && chardev_->writable();
    registers_.set_modem_lines({.cts = room, .dsr = room, .ri = false, .dcd = chardev_->connected()});
    registers_.set_transmitter_ready(room);
}

/// Sets the interrupt line, and wakes run() if it sleeps longer than the character timeout.
void Uart16550::publish() noexcept {
    line_.set(registers_.interrupt_pending());
    if (!registers_.timeout_running() || clock_ == nullptr) return;
    if (timed_activity_ != registers_.receiver_activity()) {
        timed_activity_ = registers_.receiver_activity();
        timed_since_ = clock_->now();
    }
    if (deadline() < armed_until_) {
        armed_until_ = deadline();
        chardev_->changed().notify();
    }
}

/// Brings the registers up to date. Returns the time at which run() calls it again even if nothing changes.
Uart16550::TimePoint Uart16550::attend() {
    const std::lock_guard lock(mutex_);
    armed_until_ = TimePoint::min();  // run() is awake: publish() need not wake it
    take_input(Look::none);
    follow_chardev();
    const bool timed = timed_activity_ == registers_.receiver_activity();
    if (timed && clock_ != nullptr && registers_.timeout_running() && clock_->now() >= deadline()) {
        registers_.receive_timeout();
    }
    publish();
    armed_until_ = clock_ != nullptr && registers_.timeout_running() ? deadline() : TimePoint::max();
    return armed_until_;
}

namespace {

constexpr std::array uart16550_keys{
    DeviceKey{"chardev", "SPEC", "the other end, as for --serial (default stdio; ,, for a comma)"},
    DeviceKey{"irq", "N", "its interrupt line, 0 to 23 (default: 4 or 3 at the ports of COM1 to COM4, else none)"},
    DeviceKey{"stride", "1|2|4|8", "with mmio: bytes from one register to the next (default 1)"},
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

std::shared_ptr<Device> make_uart16550(std::shared_ptr<Chardev> chardev, std::optional<unsigned> irq, unsigned stride) {
    return std::make_shared<Uart16550>(std::move(chardev), irq, stride);
}

constinit const DeviceKind uart16550_kind{
    .name = uart16550_name,
    .help = "16550A serial port",
    .keys = uart16550_keys,
    .ports = uart16550_ports,
    .size = 8,
    .by_default = false,
    .reads = true,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        const auto irq = irq_of(options);
        return make_uart16550(open_output(options, host), irq, options.stride());
    },
};

}  // namespace asyncvm
