/// Numbers and lists as people type them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// Decimal, 0x hexadecimal, 0b binary or 0o octal, without a sign; nothing else may stand around it. A leading 0 does not
/// mean octal. Empty when it is no number or needs more than 64 bits.
[[nodiscard]] std::optional<std::uint64_t> parse_number(std::string_view text) noexcept;

/// Takes the unit K, M or G (capital or small) off the end of `text`; returns its power of two: 10, 20 or 30, and 0 if there
/// is none.
[[nodiscard]] unsigned take_unit(std::string_view& text) noexcept;

/// The parts between single commas, at least one; a doubled comma is a comma inside a part. Parts may be empty.
[[nodiscard]] std::vector<std::string> split_at_commas(std::string_view text);

}  // namespace asyncvm
