/// A bzImage to parse, made field by field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "boot/image.hpp"
#include "boot/plan.hpp"

namespace asyncvm::test {

/// With the values of a Debian kernel, but small: 1 MiB to unpack, at 16 MiB.
class LinuxImage {
public:
    explicit LinuxImage(std::size_t payload_size = 4096) : bytes_(payload_at + payload_size) {
        for (std::size_t i = payload_at; i < bytes_.size(); ++i) bytes_[i] = static_cast<std::byte>(i * 7);
        set<std::uint8_t>(0x1f1, sectors);
        set(0x1f4, static_cast<std::uint32_t>((payload_size + 15) / 16));
        set<std::uint16_t>(0x1fa, 0xffff);
        set<std::uint16_t>(0x1fe, 0xaa55);
        set<std::uint16_t>(0x200, 0x6aeb);
        std::memcpy(bytes_.data() + 0x202, "HdrS", 4);
        set<std::uint16_t>(0x206, 0x020f);
        set<std::uint16_t>(0x20e, 0x300);
        const std::string release = "6.1.0-test (someone@example.org) #1 SMP";
        std::memcpy(bytes_.data() + 0x500, release.c_str(), release.size() + 1);
        set<std::uint8_t>(0x211, 1);
        set<std::uint32_t>(0x214, 0x100000);
        set<std::uint32_t>(0x22c, 0x7fff'ffff);
        set<std::uint32_t>(0x230, 0x20'0000);
        set<std::uint8_t>(0x234, 1);
        set<std::uint16_t>(0x236, 0x7f);
        set<std::uint32_t>(0x238, 2047);
        set<std::uint32_t>(0x248, 0x100);
        set<std::uint32_t>(0x24c, 0x200);
        set<std::uint64_t>(0x258, 0x100'0000);
        set<std::uint32_t>(0x260, 0x10'0000);
    }

    static constexpr std::uint8_t sectors = 3;
    static constexpr std::size_t payload_at = (sectors + 1) * 512;

    template <typename T>
    LinuxImage& set(std::size_t offset, T value) {
        std::memcpy(bytes_.data() + offset, &value, sizeof value);
        return *this;
    }

    [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }
    [[nodiscard]] boot::ImagePtr image() const { return boot::memory_image("vmlinuz", bytes_); }

private:
    std::vector<std::byte> bytes_;
};

/// RAM as a board has it: a hole below 1 MiB, and tables in it.
inline boot::Surroundings surroundings(std::uint64_t ram = 64 << 20) {
    boot::Surroundings around;
    around.map = {{0, 0x9fc00, MemoryKind::ram},
                  {0x9fc00, 0x60400, MemoryKind::reserved},
                  {0x100000, ram - 0x100000, MemoryKind::ram}};
    around.tables.push_back({.name = "ACPI tables", .address = 0xe0000, .size = 16, .bytes = std::vector<std::byte>(16)});
    around.rsdp = 0xe0000;
    return around;
}

}  // namespace asyncvm::test
