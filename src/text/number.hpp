/// Numbers as people type them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace asyncvm {

/// Decimal, 0x hexadecimal, 0b binary or 0o octal, without a sign; nothing else may stand around it. A leading 0 does not
/// mean octal. Empty when it is no number or needs more than 64 bits.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text) noexcept;

}  // namespace asyncvm
