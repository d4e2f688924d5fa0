/// Numbers and bytes as gdb's remote protocol writes them: hexadecimal, in lower case. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace asyncvm::gdb {

[[nodiscard]] std::string to_hex(std::span<const std::byte> bytes);
/// The bytes of a text.
[[nodiscard]] std::string to_hex(std::string_view text);

/// Nothing: an odd number of digits, or something else than digits.
[[nodiscard]] std::optional<std::string> from_hex(std::string_view digits);

/// Takes the digits off the front of `text`, 16 at most. Nothing: there is none, or there are more.
[[nodiscard]] std::optional<std::uint64_t> take_number(std::string_view& text);

/// Takes `what` off the front of `text`, if it stands there.
[[nodiscard]] inline bool take(std::string_view& text, std::string_view what) {
    if (!text.starts_with(what)) return false;
    text.remove_prefix(what.size());
    return true;
}

}  // namespace asyncvm::gdb
