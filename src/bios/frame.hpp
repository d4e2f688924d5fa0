/// The parts of registers that BIOS calls use.
#pragma once

#include "boot/bios_stub.hpp"

#include <cstdint>

namespace asyncvm::bios {

constexpr std::uint16_t flag_carry = 1;
constexpr std::uint16_t flag_zero = 1 << 6;

[[nodiscard]] constexpr std::uint8_t low(std::uint32_t value) noexcept { return static_cast<std::uint8_t>(value); }
[[nodiscard]] constexpr std::uint8_t high(std::uint32_t value) noexcept { return static_cast<std::uint8_t>(value >> 8); }
[[nodiscard]] constexpr std::uint16_t word(std::uint32_t value) noexcept { return static_cast<std::uint16_t>(value); }

constexpr void set_low(std::uint32_t& value, unsigned low_byte) noexcept { value = (value & ~0xffU) | (low_byte & 0xff); }
constexpr void set_high(std::uint32_t& value, unsigned high_byte) noexcept {
    value = (value & ~0xff00U) | (high_byte & 0xff) << 8;
}
constexpr void set_word(std::uint32_t& value, unsigned low_word) noexcept {
    value = (value & ~0xffffU) | (low_word & 0xffff);
}

constexpr void set_flag(boot::BiosFrame& frame, std::uint16_t flag, bool on) noexcept {
    frame.flags = static_cast<std::uint16_t>(on ? frame.flags | flag : frame.flags & ~flag);
}

/// AH = status, and the carry flag if it is not 0.
constexpr void finish(boot::BiosFrame& frame, unsigned status) noexcept {
    set_high(frame.eax, status);
    set_flag(frame, flag_carry, status != 0);
}

[[nodiscard]] constexpr std::uint64_t linear(std::uint16_t segment, std::uint32_t offset) noexcept {
    return std::uint64_t{segment} * 16 + (offset & 0xffff);
}

}  // namespace asyncvm::bios
