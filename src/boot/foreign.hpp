/// Formats of files that are no flat guests.
#pragma once

#include <cstddef>
#include <span>

namespace asyncvm {

enum class Foreign { none, elf, bzimage, multiboot /* 1 or 2 */ };

/// From the beginning of a file; 32 KiB are enough, less is allowed.
[[nodiscard]] Foreign foreign_format(std::span<const std::byte> image) noexcept;

}  // namespace asyncvm
