/// The section headers of an ELF kernel, which Multiboot loaders give to it: with the symbols and strings in memory, its
/// messages can name its functions. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "boot/kernel_layout.hpp"

namespace asyncvm::boot {

struct SectionTable {
    std::uint32_t count = 0;
    std::uint32_t entry_size = 0;
    std::uint32_t names = 0;       ///< the section of the sections' names
    std::vector<std::byte> bytes;  ///< the headers, with the places of symbols and strings in sh_addr
};

/// Places symbol and string tables behind the kernel. Nothing if the file has no section headers; also nothing, with a note,
/// if they are not all in the file.
[[nodiscard]] std::optional<SectionTable> place_sections(KernelLayout& layout, const Elf& elf, std::uint64_t shift = 0);

}  // namespace asyncvm::boot
