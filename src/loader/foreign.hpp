/// Formats of files that are no flat guests.
#pragma once

#include <cstddef>
#include <span>

namespace asyncvm {

enum class Foreign { none, elf, bzimage, multiboot };

/// From the beginning of a file; 8 KiB are enough, less is allowed.
[[nodiscard]] Foreign foreign_format(std::span<const std::byte> image) noexcept;

}  // namespace asyncvm
