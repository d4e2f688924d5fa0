#include "boot/elf_sections.hpp"

#include "boot/fields.hpp"

#include <fmt/format.h>

namespace asyncvm::boot {

namespace {

constexpr std::uint32_t type_symbols = 2;
constexpr std::uint32_t type_strings = 3;
constexpr std::uint32_t type_dynamic_symbols = 11;
/// No kernel has as many; each costs time when it is placed.
constexpr unsigned most_sections = 1024;

struct SectionFields {
    unsigned size, address, offset, length;
};
constexpr SectionFields section_32{40, 12, 16, 20};
constexpr SectionFields section_64{64, 16, 24, 32};

/// A field of 4 or 8 bytes.
std::uint64_t wide(std::span<const std::byte> bytes, std::uint64_t offset, bool is_64) {
    return is_64 ? field_at<std::uint64_t>(bytes, offset) : field_at<std::uint32_t>(bytes, offset);
}

void set_wide(std::span<std::byte> bytes, std::uint64_t offset, bool is_64, std::uint64_t value) {
    if (is_64) {
        set_field(bytes, offset, value);
    } else {
        set_field(bytes, offset, static_cast<std::uint32_t>(value));
    }
}

bool in_file(const Image& image, std::uint64_t offset, std::uint64_t size) {
    return offset <= image.size() && size <= image.size() - offset;
}

}  // namespace

std::optional<SectionTable> place_sections(KernelLayout& layout, const Elf& elf, std::uint64_t shift) {
    const Image& image = *layout.request().kernel;
    const SectionFields& fields = elf.is_64 ? section_64 : section_32;
    const std::uint64_t size = std::uint64_t{elf.section_count} * elf.section_size;
    if (elf.section_count == 0 || elf.section_offset == 0) return std::nullopt;
    if (elf.section_size != fields.size || elf.section_count > most_sections || !in_file(image, elf.section_offset, size)) {
        layout.plan().notes.push_back(fmt::format(
            "{} is not told of its symbols: its {} section headers of {} bytes (e_shnum, e_shentsize) from {:#x} "
            "(e_shoff) on are not in the file, or too many",
            image.name(), elf.section_count, elf.section_size, elf.section_offset));
        return std::nullopt;
    }
    const auto headers = image.view(elf.section_offset, size);
    SectionTable table{.count = elf.section_count, .entry_size = elf.section_size, .names = elf.section_names, .bytes = {}};
    table.bytes.assign(headers.begin(), headers.end());
    for (unsigned i = 0; i < elf.section_count; ++i) {
        const auto header = std::span(table.bytes).subspan(std::size_t{i} * fields.size, fields.size);
        const auto type = field_at<std::uint32_t>(header, 4);
        const std::uint64_t address = wide(header, fields.address, elf.is_64);
        const std::uint64_t offset = wide(header, fields.offset, elf.is_64);
        const std::uint64_t length = wide(header, fields.length, elf.is_64);
        const bool wanted = type == type_symbols || type == type_strings || type == type_dynamic_symbols;
        if (address != 0) {
            set_wide(header, fields.address, elf.is_64, address + shift);
        } else if (wanted && length != 0 && in_file(image, offset, length)) {
            const auto name = fmt::format("section {} of {}", i, image.name());
            set_wide(header, fields.address, elf.is_64, layout.add_file_part(name, offset, length));
        }
    }
    return table;
}

}  // namespace asyncvm::boot
