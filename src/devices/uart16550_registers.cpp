#include "devices/uart16550_registers.hpp"

namespace asyncvm {

std::optional<std::uint8_t> Uart16550Registers::write(unsigned offset, std::uint8_t value) noexcept {
    switch (offset & 7U) {
        case data:
            if (!divisor_latch()) return transmit(value);
            divisor_ = static_cast<std::uint16_t>((divisor_ & 0xff00U) | value);
            break;
        case interrupt_enable:
            if (divisor_latch()) {
                divisor_ = static_cast<std::uint16_t>((divisor_ & 0x00ffU) | (unsigned{value} << 8U));
            } else {
                write_interrupt_enable(value);
            }
            break;
        case identification:
            write_fifo_control(value);
            break;
        case line_control:
            lcr_ = value;
            break;
        case modem_control:
            write_modem_control(value);
            break;
        case scratch:
            scr_ = value;
            break;
        default:
            break;  // writing the status registers is for factory tests (8.4)
    }
    return std::nullopt;
}

std::uint8_t Uart16550Registers::read(unsigned offset) noexcept {
    switch (offset & 7U) {
        case data:
            return divisor_latch() ? static_cast<std::uint8_t>(divisor_) : read_received();
        case interrupt_enable:
            return divisor_latch() ? static_cast<std::uint8_t>(divisor_ >> 8U) : ier_;
        case identification:
            return read_identification();
        case line_control:
            return lcr_;
        case modem_control:
            return mcr_;
        case line_status:
            return read_line_status();
        case modem_status:
            return read_modem_status();
        default:
            return scr_;
    }
}

std::optional<std::uint8_t> Uart16550Registers::transmit(std::uint8_t character) noexcept {
    holding_empty_ = false;
    holding_interrupt_ = false;
    if (!loopback()) {
        transmitter_ready_ = false;
        return character;
    }
    store(character, Origin::loopback);
    return std::nullopt;
}

void Uart16550Registers::set_transmitter_ready(bool ready) noexcept {
    transmitter_ready_ = ready;
    update_holding_empty();
}

void Uart16550Registers::update_holding_empty() noexcept {
    const bool empty = transmitter_ready_ || loopback();
    if (empty && !holding_empty_) holding_interrupt_ = true;
    if (!empty) holding_interrupt_ = false;
    holding_empty_ = empty;
}

void Uart16550Registers::write_interrupt_enable(std::uint8_t value) noexcept {
    const bool enables_transmitter = (value & ier_transmitter_empty) != 0 && (ier_ & ier_transmitter_empty) == 0;
    ier_ = value & 0x0fU;
    // The condition is there already, and drivers start a transmission by enabling its interrupt.
    if (enables_transmitter && holding_empty_) holding_interrupt_ = true;
}

void Uart16550Registers::write_fifo_control(std::uint8_t value) noexcept {
    const bool enable = (value & fcr_enable) != 0;
    if (clears_receiver(value)) clear_receiver();
    if (enable != fifos_enabled_) {
        fifos_enabled_ = enable;
        if (holding_empty_) holding_interrupt_ = true;  // 8.11: immediate after changing FCR0
    }
    if (!enable) {
        trigger_bits_ = 0;
        return;  // 8.5: the other bits are not programmed then
    }
    trigger_bits_ = value >> 6U;
}

void Uart16550Registers::write_modem_control(std::uint8_t value) noexcept {
    const ModemLines before = modem_inputs();
    mcr_ = value & 0x1fU;
    note_modem_change(before);
    update_holding_empty();
}

void Uart16550Registers::set_modem_lines(ModemLines lines) noexcept {
    const ModemLines before = modem_inputs();
    lines_ = lines;
    note_modem_change(before);
}

ModemLines Uart16550Registers::modem_inputs() const noexcept {
    if (!loopback()) return lines_;
    return {.cts = (mcr_ & mcr_rts) != 0,
            .dsr = (mcr_ & mcr_dtr) != 0,
            .ri = (mcr_ & mcr_out1) != 0,
            .dcd = (mcr_ & mcr_out2) != 0};
}

void Uart16550Registers::note_modem_change(const ModemLines& before) noexcept {
    const ModemLines now = modem_inputs();
    if (now.cts != before.cts) modem_deltas_ |= msr_delta_cts;
    if (now.dsr != before.dsr) modem_deltas_ |= msr_delta_dsr;
    if (before.ri && !now.ri) modem_deltas_ |= msr_trailing_ri;
    if (now.dcd != before.dcd) modem_deltas_ |= msr_delta_dcd;
}

void Uart16550Registers::receive(std::uint8_t character) noexcept {
    if (!loopback()) store(character, Origin::outside);
}

void Uart16550Registers::receive_break() noexcept {
    if (!loopback()) store(0, Origin::line_break);
}

void Uart16550Registers::store(std::uint8_t character, Origin origin) noexcept {
    ++receiver_activity_;
    std::size_t place = (received_first_ + received_count_) % fifo_size;
    if (received_count_ >= capacity()) {
        overrun_ = true;
        // 8.4: the new character replaces the unread one in 16450 mode, and is itself lost in FIFO mode.
        if (fifos_enabled_) return;
        place = received_first_;
    } else {
        ++received_count_;
    }
    received_[place] = character;
    const auto mark = [bit = 1U << place](std::uint16_t& places, bool marked) {
        places = static_cast<std::uint16_t>(marked ? places | bit : places & ~bit);
    };
    mark(looped_, origin == Origin::loopback);
    mark(breaks_, origin == Origin::line_break);
}

bool Uart16550Registers::clears_receiver(std::uint8_t value) const noexcept {
    const bool enable = (value & fcr_enable) != 0;
    return enable != fifos_enabled_ || (enable && (value & fcr_clear_receiver) != 0);
}

std::size_t Uart16550Registers::copy_unread(std::span<std::uint8_t, fifo_size> to) const noexcept {
    std::size_t count = 0;
    for (std::size_t i = 0; i < received_count_; ++i) {
        const std::size_t place = (received_first_ + i) % fifo_size;
        if (((looped_ | breaks_) >> place & 1U) == 0) to[count++] = received_[place];
    }
    return count;
}

std::uint8_t Uart16550Registers::read_received() noexcept {
    timed_out_ = false;
    ++receiver_activity_;
    if (received_count_ > 0) {
        last_received_ = received_[received_first_];
        breaks_ = static_cast<std::uint16_t>(breaks_ & ~(1U << received_first_));
        received_first_ = (received_first_ + 1) % fifo_size;
        --received_count_;
    }
    return last_received_;
}

void Uart16550Registers::clear_receiver() noexcept {
    received_first_ = 0;
    received_count_ = 0;
    breaks_ = 0;
    timed_out_ = false;
}

bool Uart16550Registers::break_is_next() const noexcept {
    return received_count_ > 0 && (breaks_ >> received_first_ & 1U) != 0;
}

std::size_t Uart16550Registers::trigger_level() const noexcept {
    static constexpr std::array<std::uint8_t, 4> levels{1, 4, 8, 14};
    return levels[trigger_bits_];
}

std::size_t Uart16550Registers::wanted() const noexcept {
    if (loopback() || received_count_ >= trigger_level()) return 0;
    return trigger_level() - received_count_;
}

bool Uart16550Registers::shows_input(unsigned offset) const noexcept {
    return (offset & 7U) == line_status || ((offset & 7U) == data && !divisor_latch());
}

bool Uart16550Registers::timeout_running() const noexcept {
    return fifos_enabled_ && received_data_interrupt_enabled() && !timed_out_ && received_count_ > 0 &&
           received_count_ < trigger_level();
}

void Uart16550Registers::receive_timeout() noexcept {
    if (timeout_running()) timed_out_ = true;
}

std::chrono::nanoseconds Uart16550Registers::character_time() const noexcept {
    const std::uint64_t word_half_bits = 2U * (5U + (lcr_ & lcr_word_length));
    const std::uint64_t parity_half_bits = (lcr_ & lcr_parity) != 0 ? 2U : 0U;
    const std::uint64_t long_stop = (lcr_ & lcr_word_length) == 0 ? 3U : 4U;  // 8.1: one and a half, or two
    const std::uint64_t stop_half_bits = (lcr_ & lcr_stop_bits) != 0 ? long_stop : 2U;
    const std::uint64_t half_bits = 2U + word_half_bits + parity_half_bits + stop_half_bits;
    const std::uint64_t divisor = divisor_ == 0 ? 1U : divisor_;
    constexpr std::uint64_t clocks_a_half_bit = 8;
    constexpr std::uint64_t clock_hz = 1'843'200;
    return std::chrono::nanoseconds(half_bits * divisor * clocks_a_half_bit * 1'000'000'000U / clock_hz);
}

std::uint8_t Uart16550Registers::pending_interrupt() const noexcept {
    if ((ier_ & ier_line_status) != 0 && (overrun_ || break_is_next())) return iir_line_status;
    if (received_data_interrupt_enabled()) {
        if (received_count_ >= trigger_level()) return iir_received_data;
        if (timed_out_) return iir_timeout;
    }
    if ((ier_ & ier_transmitter_empty) != 0 && holding_interrupt_) return iir_transmitter_empty;
    if ((ier_ & ier_modem_status) != 0 && modem_deltas_ != 0) return iir_modem_status;
    return iir_none;
}

std::uint8_t Uart16550Registers::read_identification() noexcept {
    const std::uint8_t source = pending_interrupt();
    if (source == iir_transmitter_empty) holding_interrupt_ = false;
    return source | (fifos_enabled_ ? iir_fifos_enabled : std::uint8_t{0});
}

std::uint8_t Uart16550Registers::read_line_status() noexcept {
    std::uint8_t value = 0;
    if (received_count_ > 0) value |= lsr_data_ready;
    if (overrun_) value |= lsr_overrun;
    if (holding_empty_) value |= lsr_holding_empty | lsr_transmitter_empty;
    if (break_is_next()) value |= lsr_break;
    if (fifos_enabled_ && breaks_ != 0) value |= lsr_fifo_error;
    overrun_ = false;
    if (break_is_next()) breaks_ = static_cast<std::uint16_t>(breaks_ & ~(1U << received_first_));
    return value;
}

std::uint8_t Uart16550Registers::read_modem_status() noexcept {
    const ModemLines lines = modem_inputs();
    std::uint8_t value = modem_deltas_;
    if (lines.cts) value |= msr_cts;
    if (lines.dsr) value |= msr_dsr;
    if (lines.ri) value |= msr_ri;
    if (lines.dcd) value |= msr_dcd;
    modem_deltas_ = 0;
    return value;
}

void Uart16550Registers::reset() noexcept {
    const ModemLines lines = lines_;
    const bool ready = transmitter_ready_;
    const std::uint64_t activity = receiver_activity_ + 1;
    *this = {};
    lines_ = lines;
    transmitter_ready_ = ready;
    holding_empty_ = ready;
    receiver_activity_ = activity;
}

}  // namespace asyncvm
