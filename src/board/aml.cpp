#include "board/aml.hpp"

#include <algorithm>
#include <span>

#include "board/table_bytes.hpp"

namespace asyncvm::board::aml {

namespace {

// Opcodes (ACPI 6.5, table 20.1) and tags of resource descriptors (tables 6.46 and following).
constexpr std::uint8_t zero_op = 0x00, one_op = 0x01, name_op = 0x08, byte_prefix = 0x0a, word_prefix = 0x0b,
                       dword_prefix = 0x0c, string_prefix = 0x0d, qword_prefix = 0x0e, scope_op = 0x10, buffer_op = 0x11,
                       package_op = 0x12, extended_prefix = 0x5b, device_op = 0x82, root_char = '\\';
constexpr std::uint8_t irq_tag = 0x22, io_tag = 0x47, end_tag = 0x79, memory_tag = 0x86, dword_space_tag = 0x87,
                       word_space_tag = 0x88, interrupt_tag = 0x89;
constexpr std::size_t name_size = 4;

Code take(const TableBytes& bytes) { return bytes.bytes(); }

/// PkgLength (20.2.4), which counts itself, and then `contents`.
Code with_length(const Code& contents) {
    TableBytes result;
    // With 1 byte of length it holds 6 bits, with 2, 3 or 4 bytes 12, 20 or 28.
    std::size_t width = 1;
    for (std::size_t limit = 1 << 6; contents.size() + width >= limit; limit = std::size_t{1} << (8 * width - 4)) ++width;
    const std::size_t length = contents.size() + width;
    if (width == 1) {
        result.u8(static_cast<std::uint8_t>(length));
    } else {
        result.u8(static_cast<std::uint8_t>((width - 1) << 6 | (length & 0xf)));
        for (std::size_t at = 1; at < width; ++at) result.u8(static_cast<std::uint8_t>(length >> (8 * at - 4)));
    }
    return take(result.append(contents));
}

Code name_segment(std::string_view name) {
    TableBytes result;
    for (std::size_t at = 0; at < name_size; ++at) {
        result.u8(static_cast<std::uint8_t>(at < name.size() ? name[at] : '_'));
    }
    return take(result);
}

Code name_string(std::string_view path) {
    TableBytes result;
    if (path.starts_with(static_cast<char>(root_char))) {
        result.u8(root_char);
        path.remove_prefix(1);
    }
    return take(result.append(name_segment(path)));
}

std::uint8_t hexadecimal(char digit) { return static_cast<std::uint8_t>(digit <= '9' ? digit - '0' : digit - 'A' + 10); }

}  // namespace

Code join(std::initializer_list<Code> parts) {
    Code all;
    for (const Code& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

Code integer(std::uint64_t value) {
    TableBytes result;
    if (value == 0) return take(result.u8(zero_op));
    if (value == 1) return take(result.u8(one_op));
    if (value <= 0xff) return take(result.u8(byte_prefix).u8(static_cast<std::uint8_t>(value)));
    if (value <= 0xffff) return take(result.u8(word_prefix).u16(static_cast<std::uint16_t>(value)));
    if (value <= 0xffff'ffff) return take(result.u8(dword_prefix).u32(static_cast<std::uint32_t>(value)));
    return take(result.u8(qword_prefix).u64(value));
}

Code string(std::string_view text) {
    TableBytes result;
    return take(result.u8(string_prefix).text(text, text.size()).u8(0));
}

Code hardware_id(std::string_view id) {
    constexpr std::size_t eisa_size = 7;
    if (id.size() != eisa_size) return string(id);
    // Three letters of 5 bits each and four hexadecimal digits, the most significant byte first (ACPI 6.5, 19.3.4).
    std::uint32_t number = 0;
    for (const char letter : id.substr(0, 3)) number = number << 5 | static_cast<std::uint32_t>(letter - '@');
    for (const char digit : id.substr(3)) number = number << 4 | hexadecimal(digit);
    TableBytes result;
    result.u8(dword_prefix);
    for (unsigned shift = 32; shift > 0; shift -= 8) result.u8(static_cast<std::uint8_t>(number >> (shift - 8)));
    return take(result);
}

Code package(std::initializer_list<Code> elements) { return package(std::span(elements.begin(), elements.size())); }

Code package(std::span<const Code> elements) {
    TableBytes contents;
    contents.u8(static_cast<std::uint8_t>(elements.size()));
    for (const Code& element : elements) contents.append(element);
    TableBytes result;
    return take(result.u8(package_op).append(with_length(contents.bytes())));
}

Code name(std::string_view path, const Code& value) {
    TableBytes result;
    return take(result.u8(name_op).append(name_string(path)).append(value));
}

Code device(std::string_view name, const Code& contents) {
    TableBytes result;
    return take(result.u8(extended_prefix).u8(device_op).append(with_length(join({name_segment(name), contents}))));
}

Code scope(std::string_view path, const Code& contents) {
    TableBytes result;
    return take(result.u8(scope_op).append(with_length(join({name_string(path), contents}))));
}

Code io_ports(std::uint16_t first, std::uint8_t size) {
    constexpr std::uint8_t decodes_16_bits = 1;
    TableBytes result;
    return take(result.u8(io_tag).u8(decodes_16_bits).u16(first).u16(first).u8(1).u8(size));
}

Code isa_interrupt(unsigned irq) {
    TableBytes result;
    return take(result.u8(irq_tag).u16(static_cast<std::uint16_t>(1u << irq)));
}

Code memory(std::uint32_t first, std::uint32_t size) {
    constexpr std::uint8_t read_and_write = 1;
    constexpr std::uint16_t length = 9;
    TableBytes result;
    return take(result.u8(memory_tag).u16(length).u8(read_and_write).u32(first).u32(size));
}

namespace {

/// The flags of a range that a bridge passes on: positively decoded, its ends fixed.
constexpr std::uint8_t passed_on = 0b1100;

}  // namespace

Code memory_window(std::uint32_t first, std::uint32_t size) {
    constexpr std::uint8_t kind_memory = 0, read_and_write = 1;
    constexpr std::uint16_t length = 23;
    TableBytes result;
    result.u8(dword_space_tag).u16(length).u8(kind_memory).u8(passed_on).u8(read_and_write);
    return take(result.u32(0).u32(first).u32(first + size - 1).u32(0).u32(size));
}

Code bus_numbers(std::uint8_t first, std::uint8_t last) {
    constexpr std::uint8_t kind_bus = 2;
    constexpr std::uint16_t length = 13;
    TableBytes result;
    result.u8(word_space_tag).u16(length).u8(kind_bus).u8(passed_on).u8(0);
    return take(result.u16(0).u16(first).u16(last).u16(0).u16(static_cast<std::uint16_t>(last - first + 1)));
}

Code level_interrupt(std::uint32_t gsi) {
    constexpr std::uint8_t consumer = 1 << 0, shared = 1 << 3, count = 1;  // bits 1 and 2 are 0: level, active high
    constexpr std::uint16_t length = 6;
    TableBytes result;
    return take(result.u8(interrupt_tag).u16(length).u8(consumer | shared).u8(count).u32(gsi));
}

Code resource_template(const Code& descriptors) {
    TableBytes contents;
    contents.append(descriptors).u8(end_tag).u8(0);  // a checksum of 0 is none
    TableBytes result;
    return take(result.u8(buffer_op).append(with_length(join({integer(contents.size()), contents.bytes()}))));
}

}  // namespace asyncvm::board::aml
