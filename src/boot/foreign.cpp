#include "boot/foreign.hpp"

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

/// Whether a header of `words` words that sum up to 0 begins with `magic` in the first `reach` bytes, aligned to
/// `alignment`.
bool has_header(std::span<const std::byte> image, std::uint32_t magic, std::size_t words, std::size_t reach,
                std::size_t alignment) {
    const auto head = image.first(std::min(image.size(), reach));
    for (std::size_t at = 0; at + 4 * words <= head.size(); at += alignment) {
        if (get32(head, at) != magic) continue;
        std::uint32_t sum = 0;
        for (std::size_t word = 0; word < words; ++word) sum += get32(head, at + 4 * word);
        if (sum == 0) return true;
    }
    return false;
}

/// Multiboot specification 0.6.96, 3.1.1: magic, flags, checksum. Multiboot 2 specification 2.0, 3.1.1: magic, architecture,
/// length, checksum.
bool has_multiboot(std::span<const std::byte> image) {
    return has_header(image, 0x1bad'b002, 3, 8192, 4) || has_header(image, 0xe852'50d6, 4, 32768, 8);
}

}  // namespace

Foreign foreign_format(std::span<const std::byte> image) noexcept {
    if (has(image, 0,
            "\x7f"
            "ELF"))
        return Foreign::elf;
    // Linux, Documentation/arch/x86/boot.rst: the boot sector's signature and the header's.
    if (has(image, 0x1fe, "\x55\xaa") && has(image, 0x202, "HdrS")) return Foreign::bzimage;
    if (has_multiboot(image)) return Foreign::multiboot;
    return Foreign::none;
}

}  // namespace asyncvm
