/// What both versions of Multiboot have in common: how the kernel is placed, and what it is told of the memory. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "boot/kernel_layout.hpp"
#include "boot/multiboot_header.hpp"

namespace asyncvm::boot {

inline constexpr std::string_view loader_name = "asyncvm";

struct LoadedKernel {
    std::optional<Elf> elf{};  ///< placed by its program headers; nothing: by the header's addresses
    std::uint64_t first = 0;   ///< the first address of the kernel
    std::uint64_t shift = 0;   ///< how far it has been moved from where it is linked, modulo 2^64
};

/// Places the kernel by the header's addresses, else by its program headers, and sets the plan's entry, description and
/// facts. `protocol` is its name for messages. Throws Error(guest_image).
[[nodiscard]] LoadedKernel load_multiboot(KernelLayout& layout, const MultibootHeader& header, std::string_view protocol);

/// RAM in KiB, as a BIOS counts it: from 0 on, at most 640, and from 1 MiB on up to the first hole.
struct BasicMemory {
    std::uint32_t lower = 0;
    std::uint32_t upper = 0;
};
[[nodiscard]] BasicMemory basic_memory(std::span<const MemoryRange> map) noexcept;

}  // namespace asyncvm::boot
