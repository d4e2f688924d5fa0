#include "devices/acpi_pm_registers.hpp"

#include <array>
#include <cstddef>

namespace asyncvm {

namespace {

constexpr std::uint64_t timer_half_period = std::uint64_t{1} << 31;  // ticks
constexpr std::uint64_t nanoseconds_a_second = 1'000'000'000;
constexpr std::uint16_t kept_control_bits = 0x1c02;  // BM_RLD and SLP_TYP; SLP_EN and GBL_RLS read as 0

/// Seconds and the rest apart: the product of nanoseconds and frequency has more than 64 bits after 1.4 hours.
std::uint64_t timer_ticks(AcpiPmRegisters::Now now) noexcept {
    const auto time = static_cast<std::uint64_t>(now.count());
    return time / nanoseconds_a_second * AcpiPmRegisters::timer_frequency +
           time % nanoseconds_a_second * AcpiPmRegisters::timer_frequency / nanoseconds_a_second;
}

}  // namespace

void AcpiPmRegisters::follow_timer(Now now) noexcept {
    const auto half_periods = timer_ticks(now) / timer_half_period;
    if (half_periods == half_periods_) return;
    half_periods_ = half_periods;
    status_ |= timer_bit;
}

std::uint32_t AcpiPmRegisters::read(unsigned offset, unsigned access_size, Now now) noexcept {
    follow_timer(now);
    const auto ticks = static_cast<std::uint32_t>(timer_ticks(now));
    const std::array<std::uint16_t, size / 2> words{
        status_, enable_, control_, 0, static_cast<std::uint16_t>(ticks), static_cast<std::uint16_t>(ticks >> 16)};
    std::uint32_t value = 0;
    for (unsigned i = 0; i < access_size && offset + i < size; ++i) {
        const unsigned at = offset + i;
        const unsigned byte = (words[at / 2] >> (8 * (at % 2))) & 0xffU;
        value |= byte << (8 * i);
    }
    return value;
}

bool AcpiPmRegisters::write(unsigned offset, unsigned access_size, std::uint32_t value, Now now) noexcept {
    follow_timer(now);
    bool sleeps = false;
    for (unsigned i = 0; i < access_size && offset + i < size; ++i) {
        const unsigned at = offset + i;
        const unsigned shift = 8 * (at % 2);
        const auto byte = static_cast<std::uint16_t>(((value >> (8 * i)) & 0xffU) << shift);
        const auto mask = static_cast<std::uint16_t>(0xffU << shift);
        switch (at & ~1U) {
            case status:
                status_ = static_cast<std::uint16_t>(status_ & ~byte);
                break;
            case enable:
                enable_ = static_cast<std::uint16_t>((enable_ & ~mask) | (byte & known_events));
                break;
            case control:
                control_ =
                    static_cast<std::uint16_t>((control_ & ~mask) | (byte & kept_control_bits) | (control_ & sci_enable));
                sleeps = sleeps || (byte & sleep_enable) != 0;
                break;
            default:
                break;
        }
    }
    return sleeps;
}

bool AcpiPmRegisters::interrupt_pending(Now now) noexcept {
    follow_timer(now);
    return (status_ & enable_) != 0;
}

std::optional<AcpiPmRegisters::Now> AcpiPmRegisters::next_interrupt(Now now) const noexcept {
    if ((enable_ & timer_bit) == 0) return std::nullopt;
    const auto ticks = (timer_ticks(now) / timer_half_period + 1) * timer_half_period;
    const auto rest = (ticks % timer_frequency * nanoseconds_a_second + timer_frequency - 1) / timer_frequency;
    return std::chrono::seconds(ticks / timer_frequency) + Now(rest) - now;
}

}  // namespace asyncvm
