/// The fixed-hardware registers of ACPI power management as a pure state machine: no threads, no I/O.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace asyncvm {

/// Source: ACPI specification 6.5, 4.8.3 (fixed hardware registers). Twelve addresses: PM1a status and enable, PM1a control,
/// and the PM timer with 32 bits (TMR_VAL_EXT in the FADT). What the guest does between two addresses with one wide access
/// it does to both.
///
/// `now` is the time since power-on; it never goes back.
class AcpiPmRegisters {
public:
    using Now = std::chrono::nanoseconds;

    static constexpr unsigned status = 0;   ///< 2 bytes, 4.8.3.1.1: a written 1 clears
    static constexpr unsigned enable = 2;   ///< 2 bytes, 4.8.3.1.2
    static constexpr unsigned control = 4;  ///< 2 bytes, 4.8.3.2.1; two reserved bytes follow
    static constexpr unsigned timer = 8;    ///< 4 bytes, 4.8.3.3; read-only
    static constexpr unsigned size = 12;

    // Status and enable.
    static constexpr std::uint16_t timer_bit = 1 << 0;
    static constexpr std::uint16_t power_button = 1 << 8;
    static constexpr std::uint16_t known_events = 0x0721;  ///< timer, global lock, power and sleep button, RTC
    // Control.
    static constexpr std::uint16_t sci_enable = 1 << 0;
    static constexpr std::uint16_t global_release = 1 << 2;
    static constexpr unsigned sleep_type_shift = 10;
    static constexpr std::uint16_t sleep_enable = 1 << 13;

    static constexpr std::uint64_t timer_frequency = 3'579'545;  ///< Hz
    static constexpr unsigned state_version = 1;

    /// `access_size` is 1, 2 or 4; addresses from `size` on read as 0.
    [[nodiscard]] std::uint32_t read(unsigned offset, unsigned access_size, Now now) noexcept;

    /// Returns whether the guest has set SLP_EN: it wants to sleep in the state sleep_type().
    [[nodiscard]] bool write(unsigned offset, unsigned access_size, std::uint32_t value, Now now) noexcept;

    /// 0 to 7.
    [[nodiscard]] unsigned sleep_type() const noexcept { return (control_ >> sleep_type_shift) & 7U; }

    void press_power_button() noexcept { status_ |= power_button; }

    /// The level of the SCI.
    [[nodiscard]] bool interrupt_pending(Now now) noexcept;

    /// The time from `now` until the timer's event, a change of its highest bit; nothing if it is not enabled.
    [[nodiscard]] std::optional<Now> next_interrupt(Now now) const noexcept;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("status", status_, known_events);
        archive.field("enable", enable_, known_events);
        archive.field("control", control_);
        archive.field("half periods", half_periods_);
    }

private:
    void follow_timer(Now now) noexcept;

    std::uint16_t status_ = 0;
    std::uint16_t enable_ = 0;
    std::uint16_t control_ = sci_enable;
    std::uint64_t half_periods_ = 0;  ///< of the timer, as far as its event has been noted
};

}  // namespace asyncvm
