/// Images of other programs' formats, which must not be taken for raw ones.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace asyncvm::block {

/// The bytes of the beginning that a format is told by.
inline constexpr std::size_t format_head = 0x44;

/// The name of the format that an image with this beginning has, or an empty text: raw. Pure.
[[nodiscard]] std::string_view foreign_format(std::span<const std::byte> head) noexcept;

/// As above, for an open file.
[[nodiscard]] std::string_view foreign_format(int fd) noexcept;

}  // namespace asyncvm::block
