/// A keyboard controller and the keyboard behind it as a pure state machine: no time, no threads, no I/O.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace asyncvm {

/// Source: IBM Personal System/2 Hardware Interface Technical Reference (1988), keyboard and auxiliary device controller,
/// type 1, and its keyboard section. The keyboard has no keystrokes, and there is no auxiliary device: what a guest sends
/// to one is answered at once, as by an empty socket, because a driver that waits for an answer polls for half a second.
class I8042Registers {
public:
    // Status.
    static constexpr std::uint8_t output_full = 1 << 0;
    static constexpr std::uint8_t system_flag = 1 << 2;
    static constexpr std::uint8_t was_command = 1 << 3;
    static constexpr std::uint8_t not_locked = 1 << 4;
    static constexpr std::uint8_t auxiliary = 1 << 5;
    static constexpr std::uint8_t timed_out = 1 << 6;
    // Command byte.
    static constexpr std::uint8_t keyboard_interrupt = 1 << 0;
    static constexpr std::uint8_t keyboard_disabled = 1 << 4;
    static constexpr std::uint8_t auxiliary_disabled = 1 << 5;
    static constexpr std::uint8_t translate = 1 << 6;
    // Output port.
    static constexpr std::uint8_t not_reset = 1 << 0;
    static constexpr std::uint8_t a20 = 1 << 1;

    static constexpr std::size_t queue_size = 16;
    static constexpr unsigned state_version = 1;

    /// Port 0x64.
    [[nodiscard]] std::uint8_t status() const noexcept;

    /// Port 0x60. Without a byte that waits it gives the last one again.
    [[nodiscard]] std::uint8_t read_data() noexcept;

    /// Port 0x64; returns whether it resets the machine.
    [[nodiscard]] bool write_command(std::uint8_t command) noexcept;

    /// Port 0x60; returns whether it resets the machine.
    [[nodiscard]] bool write_data(std::uint8_t value) noexcept;

    /// The level of IRQ 1.
    [[nodiscard]] bool interrupt_pending() const noexcept;

    void reset() noexcept { *this = {}; }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("ram", ram_);
        archive.field("output port", output_port_);
        archive.field("reply", reply_);
        archive.field("reply's status", reply_status_);
        archive.field("awaited", awaited_, Awaited::keyboard_parameter);
        archive.field("awaited for", awaited_for_);
        archive.field("after command", after_command_);
        archive.field("last", last_);
        archive.field("queue", queue_);
        archive.field("queued", queued_, queue_size);
        archive.field("keyboard's last", keyboard_last_);
        archive.field("scan codes", scan_codes_);
    }

private:
    /// What gets the next byte that is written to port 0x60.
    enum class Awaited : std::uint8_t {
        keyboard_command,
        ram,
        output_port,
        output_buffer,
        auxiliary_device,
        keyboard_parameter
    };

    [[nodiscard]] std::uint8_t& command_byte() noexcept { return ram_[0]; }
    [[nodiscard]] std::uint8_t command_byte() const noexcept { return ram_[0]; }
    [[nodiscard]] bool keyboard_byte_waits() const noexcept;
    void reply(std::uint8_t value, std::uint8_t with_status = 0) noexcept;
    void await(Awaited awaited, std::uint8_t detail = 0) noexcept;
    [[nodiscard]] bool write_output_port(std::uint8_t value) noexcept;
    void set_command_byte(std::uint8_t value) noexcept;
    void write_keyboard(std::uint8_t value) noexcept;
    void write_keyboard_parameter(std::uint8_t command, std::uint8_t value) noexcept;
    void send(std::uint8_t value) noexcept;

    /// As a BIOS leaves it behind: interrupt on, scan codes translated.
    std::array<std::uint8_t, 32> ram_{keyboard_interrupt | system_flag | auxiliary_disabled | translate};
    std::uint8_t output_port_ = not_reset | a20 | 0xcc;
    std::optional<std::uint8_t> reply_;  ///< the controller's own, which comes before the keyboard's bytes
    std::uint8_t reply_status_ = 0;      ///< what the status shows of it besides
    Awaited awaited_ = Awaited::keyboard_command;
    std::uint8_t awaited_for_ = 0;  ///< the place in the RAM, or the keyboard's command
    bool after_command_ = false;    ///< the last write was to port 0x64
    std::uint8_t last_ = 0;         ///< what was read last
    std::array<std::uint8_t, queue_size> queue_{};
    std::uint8_t queued_ = 0;
    std::uint8_t keyboard_last_ = 0;  ///< what the keyboard has sent last, for Resend
    std::uint8_t scan_codes_ = 2;     ///< the set that the guest has chosen
};

}  // namespace asyncvm
