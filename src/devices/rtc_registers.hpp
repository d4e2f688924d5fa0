/// A real-time clock with CMOS RAM as a pure state machine: no clock of its own, no threads, no I/O.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace asyncvm {

/// Source: Motorola MC146818A data sheet (1984). The time of day is the machine's, in UTC; a guest that sets the clock moves
/// it by an offset. Beside the chip's 64 bytes there are 64 more, as on every PC since 1987, with the century at 0x32.
class RtcRegisters {
public:
    using Duration = std::chrono::nanoseconds;

    /// When something happens.
    struct Now {
        Duration day{};      ///< the machine's time of day, since 1970
        Duration running{};  ///< the machine's time since the clock was made; never goes back
    };

    enum Index : unsigned {
        seconds = 0,
        seconds_alarm,
        minutes,
        minutes_alarm,
        hours,
        hours_alarm,
        weekday,  ///< 1: Sunday
        day,
        month,
        year,
        register_a,
        register_b,
        register_c,
        register_d,
        shutdown = 0x0f,
        century = 0x32,
    };

    static constexpr std::uint8_t a_update_in_progress = 0x80;
    static constexpr std::uint8_t b_set = 0x80;
    static constexpr std::uint8_t b_periodic = 0x40;  // b_periodic to b_update are bits of C, too
    static constexpr std::uint8_t b_alarm = 0x20;
    static constexpr std::uint8_t b_update = 0x10;
    static constexpr std::uint8_t b_binary = 0x04;
    static constexpr std::uint8_t b_24_hours = 0x02;
    static constexpr std::uint8_t c_interrupt = 0x80;
    static constexpr std::uint8_t d_valid = 0x80;

    static constexpr std::size_t size = 128;
    static constexpr unsigned state_version = 1;

    /// What of an update the guest can see: 244 us in which it is announced, 1,984 us in which it happens (figure 15).
    static constexpr Duration update_time = std::chrono::microseconds(244 + 1984);

    RtcRegisters() noexcept;

    /// The first time that the clock hears of: nothing has happened before.
    void start(Now now) noexcept { seen_second_ = position(now).second; }

    /// The index register, port 0x70: bit 7 masks NMIs on a PC; it is kept and has no effect.
    std::uint8_t index = 0;

    /// Port 0x71: the byte that `index` says.
    [[nodiscard]] std::uint8_t read(Now now) noexcept;
    void write(std::uint8_t value, Now now) noexcept;

    /// A byte of the RAM, for what a BIOS would put there.
    void set_ram(unsigned at, std::uint8_t value) noexcept { ram_[at % size] = value; }
    [[nodiscard]] std::uint8_t ram(unsigned at) const noexcept { return ram_[at % size]; }

    /// The level of IRQ 8, with what has happened until `now`.
    [[nodiscard]] bool interrupt_pending(Now now) noexcept;

    /// The time from `now` until the next interrupt; nothing if none is enabled, or if one is pending.
    [[nodiscard]] std::optional<Duration> next_interrupt(Now now) noexcept;

    /// The RESET pin: no interrupt is enabled or pending. Time and RAM have a battery.
    void reset() noexcept;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("index", index);
        archive.field("ram", ram_);
        archive.field("offset", offset_, 2 * offset_zero);
        archive.field("phase", phase_, std::chrono::seconds(1));
        archive.field("weekday shift", weekday_shift_, 6);
        archive.field("seen second", seen_second_);
        archive.field("seen periods", seen_periods_);
    }

private:
    using Seconds = std::int64_t;  // since 1970
    static constexpr std::uint64_t offset_zero = std::uint64_t{1} << 40;

    struct Position {
        Seconds second = 0;
        Duration into{};  ///< the second: 0 to 1 s
    };

    [[nodiscard]] std::uint8_t b() const noexcept { return ram_[register_b]; }
    [[nodiscard]] bool divider_held() const noexcept { return (ram_[register_a] & 0x60) == 0x60; }
    [[nodiscard]] bool stopped() const noexcept { return (b() & b_set) != 0 || divider_held(); }
    [[nodiscard]] Position position(Now now) const noexcept;
    [[nodiscard]] std::uint64_t period() const noexcept;
    void follow(Now now) noexcept;
    void set_control(unsigned at, std::uint8_t value, Now now) noexcept;
    void show_time(Seconds second) noexcept;
    void take_time(Now now, bool weekday_too) noexcept;
    [[nodiscard]] bool matches(unsigned alarm, std::uint8_t encoded) const noexcept;
    [[nodiscard]] std::optional<Seconds> next_alarm(Seconds after) const noexcept;
    [[nodiscard]] std::uint8_t encode(unsigned value) const noexcept;
    [[nodiscard]] unsigned decode(std::uint8_t value) const noexcept;
    [[nodiscard]] std::uint8_t encode_hour(unsigned hour) const noexcept;
    [[nodiscard]] unsigned decode_hour(std::uint8_t value) const noexcept;

    std::array<std::uint8_t, size> ram_{};  ///< the time in it is right only while the clock is stopped
    std::uint64_t offset_ = offset_zero;    ///< seconds that the guest has added to the time of day, and 2^40
    Duration phase_{};                      ///< by how much seconds begin earlier than the machine's
    std::uint8_t weekday_shift_ = 0;        ///< days by which the guest's weekday is ahead of the date's
    Seconds seen_second_ = 0;               ///< up to where updates and alarms are in C
    std::uint64_t seen_periods_ = 0;        ///< and periodic interrupts
};

}  // namespace asyncvm
