#include "devices/rtc_registers.hpp"

#include <algorithm>

namespace asyncvm {

namespace {

using namespace std::chrono_literals;
namespace chrono = std::chrono;

constexpr std::int64_t seconds_a_day = 86'400;
constexpr std::uint8_t interrupts = RtcRegisters::b_periodic | RtcRegisters::b_alarm | RtcRegisters::b_update;
constexpr std::uint8_t rate_bits = 0x0f;
constexpr std::uint64_t frequency = 32'768;  // of the time base, Hz

/// Rounded down, also before 1970.
constexpr std::int64_t divide(std::int64_t value, std::int64_t by) noexcept { return value / by - (value % by < 0 ? 1 : 0); }

constexpr bool is_time(unsigned at) noexcept {
    using R = RtcRegisters;
    return at == R::seconds || at == R::minutes || (at >= R::hours && at <= R::year && at != R::hours_alarm) ||
           at == R::century;
}

constexpr std::uint64_t ticks_of(chrono::nanoseconds time) noexcept {
    const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(time.count(), 0));
    constexpr std::uint64_t second = 1'000'000'000;
    return count / second * frequency + count % second * frequency / second;
}

}  // namespace

/// The time base runs and the rate is 1,024 Hz, as a BIOS sets it; numbers are BCD, with 24 hours.
RtcRegisters::RtcRegisters() noexcept {
    ram_[register_a] = 0x26;
    ram_[register_b] = b_24_hours;
    ram_[register_d] = d_valid;
}

void RtcRegisters::reset() noexcept {
    index = 0;
    ram_[register_b] &= static_cast<std::uint8_t>(~interrupts);
    ram_[register_c] = 0;
}

RtcRegisters::Position RtcRegisters::position(Now now) const noexcept {
    const Duration shifted = now.day % 1s + phase_;
    const auto whole = divide(shifted.count(), Duration(1s).count());
    const auto offset = static_cast<Seconds>(offset_) - static_cast<Seconds>(offset_zero);
    return {now.day / 1s + whole + offset, shifted - whole * 1s};
}

/// In ticks of the time base; 0: never (table 5).
std::uint64_t RtcRegisters::period() const noexcept {
    const unsigned rate = ram_[register_a] & rate_bits;
    if (rate == 0 || divider_held()) return 0;
    return std::uint64_t{1} << (rate <= 2 ? rate + 6 : rate - 1);
}

/// Brings C up to date.
void RtcRegisters::follow(Now now) noexcept {
    unsigned flags = 0;
    if (!stopped()) {
        const auto second = position(now).second;
        if (second != seen_second_) {
            flags |= b_update;
            // A day is enough to meet every alarm; after a jump there may be more.
            const bool near = seen_second_ < second && seen_second_ > second - seconds_a_day;
            const auto alarm = next_alarm(near ? seen_second_ : second - seconds_a_day);
            if (alarm && *alarm <= second) flags |= b_alarm;
            seen_second_ = second;
        }
    }
    const auto every = period();
    const auto periods = every == 0 ? 0 : ticks_of(now.running) / every;
    if (every != 0 && periods != seen_periods_) flags |= b_periodic;
    seen_periods_ = periods;
    flags |= ram_[register_c];
    if ((flags & b() & interrupts) != 0) flags |= c_interrupt;
    ram_[register_c] = static_cast<std::uint8_t>(flags);
}

std::uint8_t RtcRegisters::read(Now now) noexcept {
    follow(now);
    const unsigned at = index % size;
    if (at == register_c) {
        const auto flags = ram_[register_c];
        ram_[register_c] = 0;
        return flags;
    }
    if (stopped()) return ram_[at];
    const auto [second, into] = position(now);
    if (at == register_a) {
        const bool updating = into >= 1s - update_time;
        return static_cast<std::uint8_t>(ram_[at] | (updating ? a_update_in_progress : 0));
    }
    if (is_time(at)) show_time(second);
    return ram_[at];
}

void RtcRegisters::write(std::uint8_t value, Now now) noexcept {
    follow(now);
    const unsigned at = index % size;
    switch (at) {
        case register_a:
        case register_b:
            set_control(at, value, now);
            return;
        case register_c:
        case register_d:
            return;
        default:
            break;
    }
    const bool sets_time = is_time(at) && !stopped();
    if (sets_time) show_time(position(now).second);
    ram_[at] = value;
    if (sets_time) take_time(now, at == weekday);
}

/// Stopping the clock leaves the time in its registers; when it goes on, they are the time.
void RtcRegisters::set_control(unsigned at, std::uint8_t value, Now now) noexcept {
    const bool stood = stopped();
    const bool held = divider_held();
    if (!stood) show_time(position(now).second);
    const auto before = period();
    if (at == register_a) {
        ram_[at] = static_cast<std::uint8_t>(value & ~a_update_in_progress);
        if (held && !divider_held()) phase_ = (500ms - now.day % 1s + 1s) % 1s;  // "the first update is half a second later"
        if (before != period()) seen_periods_ = period() == 0 ? 0 : ticks_of(now.running) / period();
    } else {
        // SET stops an update, and its interrupt with it (page 12).
        ram_[at] = static_cast<std::uint8_t>((value & b_set) != 0 ? value & ~b_update : value);
    }
    if (stood && !stopped()) take_time(now, true);
    // Flags of before interrupt as soon as their interrupt is enabled.
    const unsigned flags = ram_[register_c] & interrupts;
    ram_[register_c] = static_cast<std::uint8_t>(flags | ((flags & b()) != 0 ? c_interrupt : 0));
}

void RtcRegisters::show_time(Seconds second) noexcept {
    const auto days = divide(second, seconds_a_day);
    const auto time = static_cast<unsigned>(second - days * seconds_a_day);
    const chrono::sys_days date{chrono::days(days)};
    const chrono::year_month_day calendar(date);
    const auto whole_year = static_cast<unsigned>(std::clamp(static_cast<int>(calendar.year()), 0, 9999));
    ram_[seconds] = encode(time % 60);
    ram_[minutes] = encode(time / 60 % 60);
    ram_[hours] = encode_hour(time / 3600);
    ram_[weekday] = encode((chrono::weekday(date).c_encoding() + weekday_shift_) % 7 + 1);
    ram_[day] = encode(static_cast<unsigned>(calendar.day()));
    ram_[month] = encode(static_cast<unsigned>(calendar.month()));
    ram_[year] = encode(whole_year % 100);
    ram_[century] = encode(whole_year / 100);
}

/// The registers are the time from now on. What is no date counts on: the 31st of February is the 3rd of March, or the 2nd.
void RtcRegisters::take_time(Now now, bool weekday_too) noexcept {
    const auto years = static_cast<int>(std::min(decode(ram_[century]), 99U) * 100 + std::min(decode(ram_[year]), 99U));
    const auto months = std::clamp(decode(ram_[month]), 1U, 12U);
    const auto first = chrono::sys_days(chrono::year(years) / chrono::month(months) / 1);
    const auto date = first + chrono::days(decode(ram_[day])) - chrono::days(1);
    const Seconds second = Seconds{date.time_since_epoch().count()} * seconds_a_day +
                           decode_hour(ram_[hours]) * Seconds{3600} + decode(ram_[minutes]) * Seconds{60} +
                           decode(ram_[seconds]);
    const auto offset = static_cast<Seconds>(offset_) + second - position(now).second;
    offset_ = static_cast<std::uint64_t>(std::clamp<Seconds>(offset, 0, Seconds{2 * offset_zero}));
    if (weekday_too) {
        const unsigned wanted = (decode(ram_[weekday]) + 6) % 7;
        weekday_shift_ = static_cast<std::uint8_t>((wanted + 7 - chrono::weekday(date).c_encoding()) % 7);
    }
    seen_second_ = position(now).second;
}

/// An alarm of 0xc0 to 0xff matches every value.
bool RtcRegisters::matches(unsigned alarm, std::uint8_t encoded) const noexcept {
    return (ram_[alarm] & 0xc0) == 0xc0 || ram_[alarm] == encoded;
}

/// The first second after `after` at which the alarm comes; nothing if it never does. Hours and minutes that do not match
/// are passed over as a whole.
std::optional<RtcRegisters::Seconds> RtcRegisters::next_alarm(Seconds after) const noexcept {
    const Seconds last = after + seconds_a_day;
    Seconds at = after + 1;
    while (at <= last) {
        const auto time = static_cast<unsigned>(at - divide(at, seconds_a_day) * seconds_a_day);
        if (!matches(hours_alarm, encode_hour(time / 3600))) {
            at += 3600 - time % 3600;
        } else if (!matches(minutes_alarm, encode(time / 60 % 60))) {
            at += 60 - time % 60;
        } else if (!matches(seconds_alarm, encode(time % 60))) {
            ++at;
        } else {
            return at;
        }
    }
    return std::nullopt;
}

bool RtcRegisters::interrupt_pending(Now now) noexcept {
    follow(now);
    return (ram_[register_c] & c_interrupt) != 0;
}

std::optional<RtcRegisters::Duration> RtcRegisters::next_interrupt(Now now) noexcept {
    if (interrupt_pending(now)) return std::nullopt;
    std::optional<Duration> next;
    const auto earlier = [&next](Duration by) { next = std::min(next.value_or(by), by); };
    if ((b() & b_periodic) != 0 && period() != 0) {
        const auto ticks = (ticks_of(now.running) / period() + 1) * period();
        constexpr std::uint64_t second = 1'000'000'000;
        const auto rest = (ticks % frequency * second + frequency - 1) / frequency;
        earlier(chrono::seconds(ticks / frequency) + Duration(rest) - now.running);
    }
    if (!stopped()) {
        const auto [second, into] = position(now);
        if ((b() & b_update) != 0) earlier(1s - into);
        if ((b() & b_alarm) != 0) {
            if (const auto alarm = next_alarm(second)) earlier(chrono::seconds(*alarm - second) - into);
        }
    }
    return next;
}

std::uint8_t RtcRegisters::encode(unsigned value) const noexcept {
    return static_cast<std::uint8_t>((b() & b_binary) != 0 ? value : value / 10 * 16 + value % 10);
}

unsigned RtcRegisters::decode(std::uint8_t value) const noexcept {
    return (b() & b_binary) != 0 ? value : value / 16U * 10 + value % 16U;
}

std::uint8_t RtcRegisters::encode_hour(unsigned hour) const noexcept {
    if ((b() & b_24_hours) != 0) return encode(hour);
    const auto half = encode((hour + 11) % 12 + 1);
    return static_cast<std::uint8_t>(half | (hour >= 12 ? 0x80 : 0));
}

unsigned RtcRegisters::decode_hour(std::uint8_t value) const noexcept {
    if ((b() & b_24_hours) != 0) return decode(value);
    return decode(value & 0x7f) % 12 + ((value & 0x80) != 0 ? 12 : 0);
}

}  // namespace asyncvm
