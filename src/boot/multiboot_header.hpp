/// The headers of Multiboot kernels. Multiboot specification 0.6.96, 3.1; Multiboot 2 specification 2.0, 3.1. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "boot/image.hpp"

namespace asyncvm::boot {

/// Where a kernel that brings its own addresses is placed; they win over an ELF header.
struct AddressFields {
    std::uint64_t offset = 0;     ///< in the file, of the first byte that is loaded
    std::uint64_t address = 0;    ///< load_addr
    std::uint64_t file_size = 0;  ///< bytes that are loaded
    std::uint64_t size = 0;       ///< bytes in memory: zeros follow
};

struct MultibootHeader {
    std::uint64_t offset = 0;  ///< in the file
    std::uint32_t flags = 0;   ///< 0 for Multiboot 2
    std::optional<AddressFields> addresses{};
    std::optional<std::uint64_t> entry{};  ///< in place of the ELF header's

    // Multiboot 2 only:
    struct Relocation {
        std::uint64_t lowest = 0;  ///< the first address that the kernel may take
        std::uint64_t last = 0;    ///< the last one
        std::uint64_t alignment = 1;
        bool prefers_high = false;
    };
    std::optional<Relocation> relocation{};
    std::vector<std::uint32_t> required{};  ///< types of the information tags that it can't do without
    std::vector<std::uint32_t> tags{};      ///< types of all tags of the header, for `inspect`
};

/// Where a header is: in the first 8,192 or 32,768 bytes, with a right checksum.
[[nodiscard]] std::optional<std::uint64_t> find_multiboot(const Image& image);
[[nodiscard]] std::optional<std::uint64_t> find_multiboot2(const Image& image);

/// Each throws Error(guest_image) that names the field and its value: no header, a flag or tag that is required and not
/// known, address fields that contradict each other or the file.
[[nodiscard]] MultibootHeader read_multiboot(const Image& image);
[[nodiscard]] MultibootHeader read_multiboot2(const Image& image);

}  // namespace asyncvm::boot
