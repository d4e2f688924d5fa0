/// The numbered blocks that the guests `blocks` and `flood` print, as one long text whose every byte is known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace program_test {

inline constexpr std::size_t block_size = 1024;

/// `count` bytes of the text from `position` on.
[[nodiscard]] std::string blocks_text(std::uint64_t position, std::size_t count);

/// Where a piece of the text begins, told from the first number in it; nothing if there is none. A piece of at least
/// `enough_to_locate` bytes has one.
[[nodiscard]] std::optional<std::uint64_t> locate_in_blocks(std::string_view piece);
inline constexpr std::size_t enough_to_locate = block_size + 15;

/// Whether `piece` is what the text has at `position`; else what is wrong, for a message. Empty: all is well.
[[nodiscard]] std::string difference_from_blocks(std::string_view piece, std::uint64_t position);

}  // namespace program_test
