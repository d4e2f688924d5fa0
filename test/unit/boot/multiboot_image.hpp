/// Multiboot headers and section headers to put into files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "elf_image.hpp"

namespace asyncvm::test {

inline void put_bytes(std::vector<std::byte>& bytes, std::size_t offset, const std::vector<std::byte>& part) {
    if (bytes.size() < offset + part.size()) bytes.resize(offset + part.size());
    std::memcpy(bytes.data() + offset, part.data(), part.size());
}

/// A Multiboot 1 header; `addresses` are what follows its three words.
inline std::vector<std::byte> header_1(std::uint32_t flags, const std::vector<std::uint32_t>& addresses = {}) {
    std::vector<std::byte> bytes;
    put(bytes, 0, std::uint32_t{0x1badb002});
    put(bytes, 4, flags);
    put(bytes, 8, 0U - 0x1badb002 - flags);
    for (const auto address : addresses) put(bytes, bytes.size(), address);
    return bytes;
}

struct HeaderTag {
    std::uint16_t type;
    std::uint16_t flags;
    std::vector<std::uint32_t> words;
};

/// A Multiboot 2 header with its end tag.
inline std::vector<std::byte> header_2(const std::vector<HeaderTag>& tags) {
    std::vector<std::byte> bytes(16);
    const auto add = [&](const HeaderTag& tag) {
        bytes.resize((bytes.size() + 7) / 8 * 8);
        put(bytes, bytes.size(), tag.type);
        put(bytes, bytes.size(), tag.flags);
        put(bytes, bytes.size(), static_cast<std::uint32_t>(8 + 4 * tag.words.size()));
        for (const auto word : tag.words) put(bytes, bytes.size(), word);
    };
    for (const auto& tag : tags) add(tag);
    add({0, 0, {}});
    const auto size = static_cast<std::uint32_t>(bytes.size());
    put(bytes, 0, std::uint32_t{0xe85250d6});
    put(bytes, 8, size);
    put(bytes, 12, 0U - 0xe85250d6 - size);
    return bytes;
}

struct TestSection {
    std::uint32_t type;
    std::uint64_t address;
    std::vector<std::byte> bytes;
};

/// Adds sections and their headers to the end; the names are section 1.
inline void add_sections(ElfImage& elf, bool is_64, const std::vector<TestSection>& sections) {
    auto& bytes = elf.bytes();
    std::vector<std::size_t> offsets;
    for (const auto& section : sections) {
        offsets.push_back(bytes.size());
        bytes.insert(bytes.end(), section.bytes.begin(), section.bytes.end());
    }
    bytes.resize((bytes.size() + 7) / 8 * 8);
    elf.set_word(is_64 ? 40 : 32, bytes.size());
    elf.set(elf.phentsize() + 4, static_cast<std::uint16_t>(is_64 ? 64 : 40));
    elf.set(elf.phentsize() + 6, static_cast<std::uint16_t>(sections.size()));
    elf.set(elf.phentsize() + 8, std::uint16_t{1});
    for (std::size_t i = 0; i < sections.size(); ++i) {
        const std::size_t at = bytes.size();
        bytes.resize(at + (is_64 ? 64 : 40));
        elf.set(at + 4, sections[i].type);
        elf.set_word(at + (is_64 ? 16 : 12), sections[i].address);
        elf.set_word(at + (is_64 ? 24 : 16), offsets[i]);
        elf.set_word(at + (is_64 ? 32 : 20), sections[i].bytes.size());
    }
}

}  // namespace asyncvm::test
