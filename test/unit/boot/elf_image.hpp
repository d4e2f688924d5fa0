/// An ELF file to parse, made field by field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "boot/image.hpp"

namespace asyncvm::test {

struct TestSegment {
    std::uint32_t type = 1;  ///< PT_LOAD
    std::uint64_t physical = 0x100000;
    std::uint64_t memory_size = 0;
    std::uint64_t virtual_address = 0;  ///< 0: the physical one
    std::uint32_t flags = 5;
    std::vector<std::byte> bytes{};
};

inline std::vector<std::byte> bytes_of(std::string_view text) {
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

template <typename T>
void put(std::vector<std::byte>& bytes, std::size_t offset, T value) {
    if (bytes.size() < offset + sizeof value) bytes.resize(offset + sizeof value);
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// An ELF note, with its padding.
inline std::vector<std::byte> note(std::string name, std::uint32_t type, std::vector<std::byte> content) {
    std::vector<std::byte> bytes;
    put(bytes, 0, static_cast<std::uint32_t>(name.size() + 1));
    put(bytes, 4, static_cast<std::uint32_t>(content.size()));
    put(bytes, 8, type);
    auto text = bytes_of(name);
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.resize((bytes.size() + 4) / 4 * 4);
    bytes.insert(bytes.end(), content.begin(), content.end());
    bytes.resize((bytes.size() + 3) / 4 * 4);
    return bytes;
}

class ElfImage {
public:
    /// The bytes of each segment follow the headers, each at a multiple of 16.
    ElfImage(bool is_64, const std::vector<TestSegment>& segments, std::uint64_t entry = 0x100000) : is_64_(is_64) {
        const std::string_view magic = "\177ELF";
        std::memcpy(bytes_.data(), magic.data(), magic.size());
        set<std::uint8_t>(4, is_64 ? 2 : 1).set<std::uint8_t>(5, 1).set<std::uint8_t>(6, 1);
        set<std::uint16_t>(16, 2).set<std::uint16_t>(18, is_64 ? 62 : 3).set<std::uint32_t>(20, 1);
        set_word(24, entry);
        set_word(is_64 ? 32 : 28, header_size());
        set<std::uint16_t>(is_64 ? 52 : 40, static_cast<std::uint16_t>(header_size()));
        set<std::uint16_t>(phentsize(), static_cast<std::uint16_t>(entry_size()));
        set<std::uint16_t>(phentsize() + 2, static_cast<std::uint16_t>(segments.size()));
        bytes_.resize(header_size() + segments.size() * entry_size());
        for (std::size_t i = 0; i < segments.size(); ++i) add(i, segments[i]);
    }

    template <typename T>
    ElfImage& set(std::size_t offset, T value) {
        put(bytes_, offset, value);
        return *this;
    }
    /// A field of 4 or 8 bytes.
    ElfImage& set_word(std::size_t offset, std::uint64_t value) {
        return is_64_ ? set(offset, value) : set(offset, static_cast<std::uint32_t>(value));
    }

    [[nodiscard]] std::size_t header_size() const { return is_64_ ? 64 : 52; }
    [[nodiscard]] std::size_t entry_size() const { return is_64_ ? 56 : 32; }
    [[nodiscard]] std::size_t phentsize() const { return is_64_ ? 54 : 42; }
    /// Where a field of program header `index` is: 0 for p_type, then p_offset, p_vaddr, p_paddr, p_filesz, p_memsz.
    [[nodiscard]] std::size_t program_field(std::size_t index, std::size_t field) const {
        const std::size_t first = header_size() + index * entry_size();
        if (field == 0) return first;
        return is_64_ ? first + 8 * field : first + 4 * field;
    }

    [[nodiscard]] std::vector<std::byte>& bytes() { return bytes_; }
    [[nodiscard]] boot::ImagePtr image() const { return boot::memory_image("kernel.elf", bytes_); }

private:
    void add(std::size_t index, const TestSegment& segment) {
        bytes_.resize((bytes_.size() + 15) / 16 * 16);
        set<std::uint32_t>(program_field(index, 0), segment.type);
        set<std::uint32_t>(is_64_ ? program_field(index, 0) + 4 : program_field(index, 0) + 24, segment.flags);
        set_word(program_field(index, 1), bytes_.size());
        set_word(program_field(index, 2), segment.virtual_address != 0 ? segment.virtual_address : segment.physical);
        set_word(program_field(index, 3), segment.physical);
        set_word(program_field(index, 4), segment.bytes.size());
        set_word(program_field(index, 5), std::max<std::uint64_t>(segment.memory_size, segment.bytes.size()));
        bytes_.insert(bytes_.end(), segment.bytes.begin(), segment.bytes.end());
    }

    bool is_64_;
    std::vector<std::byte> bytes_ = std::vector<std::byte>(64);
};

/// Code of `size` bytes at 1 MiB.
inline TestSegment code_segment(std::size_t size = 64) { return {.bytes = std::vector<std::byte>(size, std::byte{0x90})}; }

}  // namespace asyncvm::test
