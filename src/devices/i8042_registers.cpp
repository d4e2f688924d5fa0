#include "devices/i8042_registers.hpp"

#include <algorithm>

namespace asyncvm {

namespace {

constexpr std::uint8_t acknowledge = 0xfa;
constexpr std::uint8_t resend = 0xfe;
constexpr std::uint8_t test_passed = 0xaa;

/// Scan codes of set 2 as the controller makes set 1 of them. Only those that a keyboard without keys sends: its
/// identification and the number of its set; answers of 0x85 and more pass unchanged.
constexpr std::uint8_t translated(std::uint8_t value) noexcept {
    switch (value) {
        case 0x01:
            return 0x43;
        case 0x02:
        case 0x83:
            return 0x41;
        case 0x03:
            return 0x3f;
        default:
            return value;
    }
}

}  // namespace

bool I8042Registers::keyboard_byte_waits() const noexcept {
    return queued_ != 0 && (command_byte() & keyboard_disabled) == 0;
}

std::uint8_t I8042Registers::status() const noexcept {
    unsigned bits = not_locked | (command_byte() & system_flag);
    if (reply_ || keyboard_byte_waits()) bits |= output_full;
    if (reply_) bits |= reply_status_;
    if (after_command_) bits |= was_command;
    return static_cast<std::uint8_t>(bits);
}

bool I8042Registers::interrupt_pending() const noexcept {
    const bool by_keyboard = reply_ ? (reply_status_ & auxiliary) == 0 : keyboard_byte_waits();
    return by_keyboard && (command_byte() & keyboard_interrupt) != 0;
}

std::uint8_t I8042Registers::read_data() noexcept {
    if (reply_) {
        last_ = *reply_;
        reply_.reset();
    } else if (keyboard_byte_waits()) {
        last_ = queue_[0];
        std::shift_left(queue_.begin(), queue_.end(), 1);
        --queued_;
        if ((command_byte() & translate) != 0) last_ = translated(last_);
    }
    return last_;
}

void I8042Registers::reply(std::uint8_t value, std::uint8_t with_status) noexcept {
    reply_ = value;
    reply_status_ = with_status;
}

void I8042Registers::await(Awaited awaited, std::uint8_t detail) noexcept {
    awaited_ = awaited;
    awaited_for_ = detail;
}

/// The auxiliary device stays disabled: drivers that enable it look at this bit to see whether there is one.
void I8042Registers::set_command_byte(std::uint8_t value) noexcept {
    command_byte() = static_cast<std::uint8_t>(value | auxiliary_disabled);
}

bool I8042Registers::write_output_port(std::uint8_t value) noexcept {
    output_port_ = static_cast<std::uint8_t>(value | not_reset);
    return (value & not_reset) == 0;
}

bool I8042Registers::write_command(std::uint8_t command) noexcept {
    after_command_ = true;
    await(Awaited::keyboard_command);
    constexpr std::uint8_t place = 0x1f;
    if (command >= 0x20 && command < 0x40) {
        reply(ram_[command & place]);
    } else if (command >= 0x60 && command < 0x80) {
        await(Awaited::ram, command & place);
    } else if (command >= 0xf0) {
        return (command & not_reset) == 0;  // pulses the output port's bits that are 0
    }
    switch (command) {
        case 0xa4:  // is there a password?
            reply(0xf1);
            break;
        case 0xa9:  // test of the auxiliary device: its clock line is stuck
            reply(0x01);
            break;
        case 0xaa:  // self-test
            reply(0x55);
            break;
        case 0xab:  // test of the keyboard's lines: passed
        case 0xe0:  // test inputs
            reply(0x00);
            break;
        case 0xad:
            set_command_byte(command_byte() | keyboard_disabled);
            break;
        case 0xae:
            set_command_byte(command_byte() & static_cast<std::uint8_t>(~keyboard_disabled));
            break;
        case 0xc0:  // input port: the keyboard is not locked
            reply(0x80);
            break;
        case 0xd0:
            reply(output_port_);
            break;
        case 0xd1:
            await(Awaited::output_port);
            break;
        case 0xd2:  // the keyboard's output buffer
        case 0xd3:  // the auxiliary device's, which is not there: no bit of the status says so
            await(Awaited::output_buffer);
            break;
        case 0xd4:
            await(Awaited::auxiliary_device);
            break;
        case 0xdd:
            output_port_ &= static_cast<std::uint8_t>(~a20);
            break;
        case 0xdf:
            output_port_ |= a20;
            break;
        default:
            break;
    }
    return false;
}

bool I8042Registers::write_data(std::uint8_t value) noexcept {
    after_command_ = false;
    const auto awaited = awaited_;
    const auto detail = awaited_for_;
    await(Awaited::keyboard_command);
    switch (awaited) {
        case Awaited::ram:
            ram_[detail % ram_.size()] = value;
            set_command_byte(command_byte());
            return false;
        case Awaited::output_port:
            return write_output_port(value);
        case Awaited::output_buffer:
            reply(value);
            return false;
        case Awaited::auxiliary_device:
            reply(resend, auxiliary | timed_out);
            return false;
        case Awaited::keyboard_parameter:
            if (value < 0x80) {
                write_keyboard_parameter(detail, value);
                return false;
            }
            break;  // a command instead of the parameter
        case Awaited::keyboard_command:
            break;
    }
    write_keyboard(value);
    return false;
}

/// What does not fit is lost, as the keyboard's own buffer overruns.
void I8042Registers::send(std::uint8_t value) noexcept {
    keyboard_last_ = value;
    if (queued_ < queue_size) queue_[queued_++] = value;
}

/// The controller enables the keyboard when it has something for it.
void I8042Registers::write_keyboard(std::uint8_t value) noexcept {
    set_command_byte(command_byte() & static_cast<std::uint8_t>(~keyboard_disabled));
    switch (value) {
        case 0xed:  // LEDs
        case 0xf0:  // scan codes
        case 0xf3:  // rate
        case 0xfb:  // keys of set 3
        case 0xfc:
        case 0xfd:
            send(acknowledge);
            await(Awaited::keyboard_parameter, value);
            break;
        case 0xee:  // echo
            send(value);
            break;
        case 0xf2:  // identify: an MF2 keyboard
            send(acknowledge);
            send(0xab);
            send(0x83);
            break;
        case 0xf4:  // enable
        case 0xf7:  // all keys of set 3
        case 0xf8:
        case 0xf9:
        case 0xfa:
            send(acknowledge);
            break;
        case 0xf5:  // default, disable
        case 0xf6:  // default
            scan_codes_ = 2;
            send(acknowledge);
            break;
        case 0xfe:
            send(keyboard_last_);
            break;
        case 0xff:
            scan_codes_ = 2;
            queued_ = 0;
            send(acknowledge);
            send(test_passed);
            break;
        default:
            send(resend);
            break;
    }
}

void I8042Registers::write_keyboard_parameter(std::uint8_t command, std::uint8_t value) noexcept {
    if (command != 0xf0) {
        send(acknowledge);
    } else if (value == 0) {
        send(acknowledge);
        send(scan_codes_);
    } else if (value <= 3) {
        scan_codes_ = value;
        send(acknowledge);
    } else {
        send(resend);
    }
}

}  // namespace asyncvm
