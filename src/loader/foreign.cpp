#include "loader/foreign.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace asyncvm {
namespace {

std::uint32_t get32(std::span<const std::byte> image, std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, image.data() + at, sizeof value);
    return value;
}

bool has(std::span<const std::byte> image, std::size_t at, std::string_view text) {
    return image.size() >= at + text.size() && std::memcmp(image.data() + at, text.data(), text.size()) == 0;
}

/// Multiboot specification 0.6.96, 3.1.1: in the first 8 KiB, aligned to 4, magic + flags + checksum = 0.
bool has_multiboot1(std::span<const std::byte> image) {
    const auto head = image.first(std::min<std::size_t>(image.size(), 8192));
    for (std::size_t at = 0; at + 12 <= head.size(); at += 4) {
        if (get32(head, at) == 0x1bad'b002 && get32(head, at) + get32(head, at + 4) + get32(head, at + 8) == 0) return true;
    }
    return false;
}

}  // namespace

Foreign foreign_format(std::span<const std::byte> image) noexcept {
    if (has(image, 0,
            "\x7f"
            "ELF"))
        return Foreign::elf;
    // Linux, Documentation/arch/x86/boot.rst: the boot sector's signature and the header's.
    if (has(image, 0x1fe, "\x55\xaa") && has(image, 0x202, "HdrS")) return Foreign::bzimage;
    if (has_multiboot1(image)) return Foreign::multiboot;
    return Foreign::none;
}

}  // namespace asyncvm
