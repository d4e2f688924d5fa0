/// Memory and numbers as the human monitor prints them: `x /4xw ADDRESS`, `p /d NUMBER`. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace asyncvm::monitor {

/// "/4xw": how many, how they are written, how many bytes one has.
struct MemoryFormat {
    std::uint64_t count = 1;
    char how = 'x';     ///< x, d, u, o, c, or i for instructions
    unsigned size = 4;  ///< bytes: 1, 2, 4, 8; 1 of characters
};

/// `text` begins behind the command and a '/' there is taken off it with what belongs to it; without one it is the default.
/// Throws HumanError.
[[nodiscard]] MemoryFormat take_format(std::string_view& text);

/// One number, without blanks around it.
[[nodiscard]] std::string number_text(std::uint64_t value, const MemoryFormat& format);

/// Lines of 16 bytes, 8 where each is told, with the address in front; what does not fill a number at the end is left out.
/// `format` is not that of instructions.
[[nodiscard]] std::string memory_text(std::span<const std::byte> bytes, std::uint64_t address, const MemoryFormat& format);

}  // namespace asyncvm::monitor
