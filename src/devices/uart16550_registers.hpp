/// The registers of a 16550A as a pure state machine: no time, no threads, no I/O.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace asyncvm {

/// The four inputs that a modem drives; true is "on".
struct ModemLines {
    bool cts = false;
    bool dsr = false;
    bool ri = false;
    bool dcd = false;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("cts", cts);
        archive.field("dsr", dsr);
        archive.field("ri", ri);
        archive.field("dcd", dcd);
    }

    bool operator==(const ModemLines&) const = default;
};

/// Source: National Semiconductor PC16550D data sheet (June 1995); the section numbers below are its own.
///
/// A transmitted character leaves at once, so there is no transmit FIFO. The holding register is full from the write of a
/// character until the owner calls set_transmitter_ready(), which it does after each write().
class Uart16550Registers {
public:
    enum Offset : unsigned {
        data = 0,
        interrupt_enable,
        identification,
        line_control,
        modem_control,
        line_status,
        modem_status,
        scratch
    };

    // Interrupt enable (8.7).
    static constexpr std::uint8_t ier_received_data = 0x01;
    static constexpr std::uint8_t ier_transmitter_empty = 0x02;
    static constexpr std::uint8_t ier_line_status = 0x04;
    static constexpr std::uint8_t ier_modem_status = 0x08;
    // Interrupt identification (8.6, table IV).
    static constexpr std::uint8_t iir_none = 0x01;
    static constexpr std::uint8_t iir_line_status = 0x06;
    static constexpr std::uint8_t iir_received_data = 0x04;
    static constexpr std::uint8_t iir_timeout = 0x0c;
    static constexpr std::uint8_t iir_transmitter_empty = 0x02;
    static constexpr std::uint8_t iir_modem_status = 0x00;
    static constexpr std::uint8_t iir_fifos_enabled = 0xc0;
    // FIFO control (8.5).
    static constexpr std::uint8_t fcr_enable = 0x01;
    static constexpr std::uint8_t fcr_clear_receiver = 0x02;
    // Line control (8.1).
    static constexpr std::uint8_t lcr_word_length = 0x03;
    static constexpr std::uint8_t lcr_stop_bits = 0x04;
    static constexpr std::uint8_t lcr_parity = 0x08;
    static constexpr std::uint8_t lcr_divisor_latch = 0x80;
    // Modem control (8.8).
    static constexpr std::uint8_t mcr_dtr = 0x01;
    static constexpr std::uint8_t mcr_rts = 0x02;
    static constexpr std::uint8_t mcr_out1 = 0x04;
    static constexpr std::uint8_t mcr_out2 = 0x08;
    static constexpr std::uint8_t mcr_loopback = 0x10;
    // Line status (8.4).
    static constexpr std::uint8_t lsr_data_ready = 0x01;
    static constexpr std::uint8_t lsr_overrun = 0x02;
    static constexpr std::uint8_t lsr_break = 0x10;
    static constexpr std::uint8_t lsr_holding_empty = 0x20;
    static constexpr std::uint8_t lsr_transmitter_empty = 0x40;
    static constexpr std::uint8_t lsr_fifo_error = 0x80;
    // Modem status (8.9).
    static constexpr std::uint8_t msr_delta_cts = 0x01;
    static constexpr std::uint8_t msr_delta_dsr = 0x02;
    static constexpr std::uint8_t msr_trailing_ri = 0x04;
    static constexpr std::uint8_t msr_delta_dcd = 0x08;
    static constexpr std::uint8_t msr_deltas = 0x0f;
    static constexpr std::uint8_t msr_cts = 0x10;
    static constexpr std::uint8_t msr_dsr = 0x20;
    static constexpr std::uint8_t msr_ri = 0x40;
    static constexpr std::uint8_t msr_dcd = 0x80;

    static constexpr std::size_t fifo_size = 16;
    static constexpr unsigned state_version = 3;  ///< 2: "looped", 3: "breaks"

    /// Only the low three bits of `offset` count. Returns the character that leaves, if this write sends one.
    [[nodiscard]] std::optional<std::uint8_t> write(unsigned offset, std::uint8_t value) noexcept;

    /// Only the low three bits of `offset` count. Has the data sheet's side effects.
    [[nodiscard]] std::uint8_t read(unsigned offset) noexcept;

    /// Whether the other end takes another character. While it does not, the transmitter is not empty and does not
    /// interrupt; each time that it becomes ready the transmitter interrupt is raised.
    void set_transmitter_ready(bool ready) noexcept;

    void set_modem_lines(ModemLines lines) noexcept;

    /// A character arrives from outside. Without room it is an overrun. In loopback nothing can arrive.
    void receive(std::uint8_t character) noexcept;

    /// A BREAK arrives from outside: a character 0 that the line status marks while it is the next one to be read.
    void receive_break() noexcept;

    /// How many characters the owner should pass to receive() now: as many as are missing to the trigger level, none in
    /// loopback. With more in it the receiver would stay at its trigger level over several reads, and a guest with an
    /// edge-triggered interrupt controller that reads only so many characters for each interrupt would get no further one.
    [[nodiscard]] std::size_t wanted() const noexcept;

    /// Whether the clock of the character timeout runs (8.11): there are characters, fewer than the trigger level, and
    /// their interrupt is enabled. Each receive() and each read of a character starts it anew: see receiver_activity().
    [[nodiscard]] bool timeout_running() const noexcept;

    /// Changes whenever that clock starts anew.
    [[nodiscard]] std::uint64_t receiver_activity() const noexcept { return receiver_activity_; }

    /// Four character times have passed without activity. Without effect unless timeout_running().
    void receive_timeout() noexcept;

    /// The length of one character on the line, by the divisor and the format, with the PC's clock of 1.8432 MHz. A divisor
    /// of 0, which the data sheet does not define, counts as 1.
    [[nodiscard]] std::chrono::nanoseconds character_time() const noexcept;

    /// The level of the interrupt output. It is not gated by OUT2, as a PC's board does: guests that run on other monitors
    /// don't all set it.
    [[nodiscard]] bool interrupt_pending() const noexcept { return pending_interrupt() != iir_none; }

    /// A write of `value` to the FIFO control register empties the receiver.
    [[nodiscard]] bool clears_receiver(std::uint8_t value) const noexcept;

    /// Copies what came from outside and has not been read, oldest first, and returns how much that is. Neither what the
    /// guest has sent to itself in loopback nor a BREAK is in it.
    [[nodiscard]] std::size_t copy_unread(std::span<std::uint8_t, fifo_size> to) const noexcept;

    /// The receiver has a character (LSR bit 0).
    [[nodiscard]] bool data_ready() const noexcept { return received_count_ > 0; }

    /// The transmitter takes a character (LSR bit 5).
    [[nodiscard]] bool transmitter_empty() const noexcept { return holding_empty_; }

    /// A write of the data register would send a character out: no divisor latch, no loopback.
    [[nodiscard]] bool sends() const noexcept { return !divisor_latch() && !loopback(); }

    /// A read of this register shows the guest its input: line status, and the data register without divisor latch.
    [[nodiscard]] bool shows_input(unsigned offset) const noexcept;

    [[nodiscard]] bool transmitter_interrupt_enabled() const noexcept { return (ier_ & ier_transmitter_empty) != 0; }
    [[nodiscard]] bool received_data_interrupt_enabled() const noexcept { return (ier_ & ier_received_data) != 0; }

    /// Master reset (table I), as after power-on. The modem lines and the transmitter's readiness come from outside and stay
    /// as they are.
    void reset() noexcept;

    /// The state, for save_state() and restore_state().
    template <class Archive>
    void fields(Archive& archive) {
        archive.field("divisor", divisor_);
        archive.field("ier", ier_, 0x0f);
        archive.field("lcr", lcr_);
        archive.field("mcr", mcr_, 0x1f);
        archive.field("scr", scr_);
        archive.field("modem deltas", modem_deltas_, msr_deltas);
        archive.field("modem lines", lines_);
        archive.field("fifos enabled", fifos_enabled_);
        archive.field("trigger", trigger_bits_, 3);
        archive.field("received", received_);
        if (archive.version() >= 2) archive.field("looped", looped_);
        if (archive.version() >= 3) archive.field("breaks", breaks_);
        archive.field("received first", received_first_, fifo_size - 1);
        archive.field("received count", received_count_, fifo_size);
        archive.field("last received", last_received_);
        archive.field("overrun", overrun_);
        archive.field("timed out", timed_out_);
        archive.field("transmitter ready", transmitter_ready_);
        archive.field("holding empty", holding_empty_);
        archive.field("holding interrupt", holding_interrupt_);
    }

private:
    [[nodiscard]] bool divisor_latch() const noexcept { return (lcr_ & lcr_divisor_latch) != 0; }
    [[nodiscard]] bool loopback() const noexcept { return (mcr_ & mcr_loopback) != 0; }
    [[nodiscard]] std::size_t capacity() const noexcept { return fifos_enabled_ ? fifo_size : 1; }
    [[nodiscard]] std::size_t trigger_level() const noexcept;
    [[nodiscard]] std::uint8_t pending_interrupt() const noexcept;
    [[nodiscard]] ModemLines modem_inputs() const noexcept;
    [[nodiscard]] std::optional<std::uint8_t> transmit(std::uint8_t character) noexcept;
    [[nodiscard]] std::uint8_t read_received() noexcept;
    [[nodiscard]] std::uint8_t read_identification() noexcept;
    [[nodiscard]] std::uint8_t read_line_status() noexcept;
    [[nodiscard]] std::uint8_t read_modem_status() noexcept;
    void write_interrupt_enable(std::uint8_t value) noexcept;
    void write_fifo_control(std::uint8_t value) noexcept;
    void write_modem_control(std::uint8_t value) noexcept;
    enum class Origin : std::uint8_t { outside, loopback, line_break };
    void store(std::uint8_t character, Origin origin) noexcept;
    [[nodiscard]] bool break_is_next() const noexcept;
    void clear_receiver() noexcept;
    void update_holding_empty() noexcept;
    void note_modem_change(const ModemLines& before) noexcept;

    std::uint16_t divisor_ = 1;
    std::uint8_t ier_ = 0;
    std::uint8_t lcr_ = 0;
    std::uint8_t mcr_ = 0;
    std::uint8_t scr_ = 0;
    std::uint8_t modem_deltas_ = 0;
    ModemLines lines_;

    bool fifos_enabled_ = false;
    std::uint8_t trigger_bits_ = 0;
    std::array<std::uint8_t, fifo_size> received_{};  // a ring
    std::uint16_t looped_ = 0;                        // which of its places hold characters of loopback, a bit each
    std::uint16_t breaks_ = 0;                        // which hold a BREAK that has not been reported
    std::size_t received_first_ = 0;
    std::size_t received_count_ = 0;
    std::uint8_t last_received_ = 0;
    bool overrun_ = false;
    bool timed_out_ = false;
    std::uint64_t receiver_activity_ = 0;

    bool transmitter_ready_ = true;
    bool holding_empty_ = true;
    bool holding_interrupt_ = false;
};

}  // namespace asyncvm
