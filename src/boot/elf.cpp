#include "boot/elf.hpp"

#include "boot/fields.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::boot {

namespace {

constexpr unsigned pt_load = 1;
constexpr unsigned pt_interp = 3;
constexpr unsigned pt_note = 4;
constexpr unsigned machine_386 = 3;
constexpr unsigned machine_x86_64 = 62;
/// No kernel has as many; each costs time when it is placed.
constexpr unsigned most_program_headers = 1024;

/// Where the fields are in the two classes.
struct ElfLayout {
    unsigned header_size, entry, phoff, shoff, phentsize;
    unsigned ph_size, ph_flags, ph_offset, ph_vaddr, ph_paddr, ph_filesz, ph_memsz;
    unsigned word;
};
constexpr ElfLayout layout_32{52, 24, 28, 32, 42, 32, 24, 4, 8, 12, 16, 20, 4};
constexpr ElfLayout layout_64{64, 24, 32, 40, 54, 56, 4, 8, 16, 24, 32, 40, 8};

std::string_view machine_name(unsigned machine) {
    switch (machine) {
        case 8:
            return " (MIPS)";
        case 20:
        case 21:
            return " (PowerPC)";
        case 22:
            return " (S/390)";
        case 40:
            return " (ARM)";
        case 183:
            return " (AArch64)";
        case 243:
            return " (RISC-V)";
        default:
            return "";
    }
}

class ElfReader {
public:
    explicit ElfReader(const Image& image) : image_(image), head_(image.view(0, layout_64.header_size)) {}

    Elf read() {
        check_identification();
        layout_ = elf_.is_64 ? layout_64 : layout_32;
        if (image_.size() < layout_.header_size) {
            refuse(fmt::format("is truncated: an {} header has {} bytes, the file has {}", elf_.kind(), layout_.header_size,
                               image_.size()));
        }
        check_machine();
        elf_.entry = word(head_, layout_.entry);
        elf_.section_offset = word(head_, layout_.shoff);
        elf_.section_size = field_at<std::uint16_t>(head_, layout_.phentsize + 4U);
        elf_.section_count = field_at<std::uint16_t>(head_, layout_.phentsize + 6U);
        elf_.section_names = field_at<std::uint16_t>(head_, layout_.phentsize + 8U);
        read_program_headers();
        return std::move(elf_);
    }

private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw Error(ErrorKind::guest_image, fmt::format("{} {}", image_.name(), why));
    }

    /// An address or offset: 4 or 8 bytes by the class.
    [[nodiscard]] std::uint64_t word(std::span<const std::byte> bytes, unsigned offset) const {
        return layout_.word == 8 ? field_at<std::uint64_t>(bytes, offset) : field_at<std::uint32_t>(bytes, offset);
    }

    void check_identification() {
        if (!is_elf(image_)) refuse("is no ELF file: it does not begin with 0x7f \"ELF\"");
        const unsigned file_class = field_at<std::uint8_t>(head_, 4);
        const unsigned data = field_at<std::uint8_t>(head_, 5);
        if (file_class != 1 && file_class != 2) {
            refuse(fmt::format("is a damaged ELF file: its EI_CLASS is {}, not 1 (32-bit) or 2 (64-bit)", file_class));
        }
        if (data != 1) refuse(fmt::format("is no ELF file for x86: its EI_DATA is {}, not 1 (little-endian)", data));
        elf_.is_64 = file_class == 2;
    }

    void check_machine() {
        const unsigned type = field_at<std::uint16_t>(head_, 16);
        const unsigned machine = field_at<std::uint16_t>(head_, 18);
        if (machine != machine_386 && machine != machine_x86_64) {
            refuse(fmt::format("is an ELF file for another machine: its e_machine is {}{}, not 3 (i386) or 62 (x86-64)",
                               machine, machine_name(machine)));
        }
        if (elf_.is_64 && machine == machine_386) {
            refuse("is a damaged ELF file: its EI_CLASS is 2 (64-bit), but its e_machine is 3 (i386)");
        }
        elf_.x86_64 = machine == machine_x86_64;
        if (type == 1) refuse("is an object file (its e_type is 1, ET_REL): link it first (ld -o kernel.elf ...)");
        if (type != 2 && type != 3) {
            refuse(fmt::format("can't be loaded: its e_type is {}{}, not 2 (ET_EXEC) or 3 (ET_DYN)", type,
                               type == 4 ? " (ET_CORE, the memory of a crashed program)" : ""));
        }
        elf_.position_independent = type == 3;
    }

    void read_program_headers() {
        const std::uint64_t offset = word(head_, layout_.phoff);
        const unsigned size = field_at<std::uint16_t>(head_, layout_.phentsize);
        const unsigned count = field_at<std::uint16_t>(head_, layout_.phentsize + 2U);
        if (count == 0) refuse("has no program headers: its e_phnum is 0, so nothing says what to load");
        if (count > most_program_headers) {
            refuse(fmt::format("has too many program headers: its e_phnum is {}, and the most is {}", count,
                               most_program_headers));
        }
        if (size != layout_.ph_size) {
            refuse(fmt::format("is a damaged ELF file: its e_phentsize is {}, not {}", size, layout_.ph_size));
        }
        const std::uint64_t bytes = std::uint64_t{count} * size;
        if (offset > image_.size() || bytes > image_.size() - offset) {
            refuse(
                fmt::format("is truncated: its {} program headers take {} bytes from {:#x} (e_phoff) on, but the file has "
                            "{} bytes",
                            count, bytes, offset, image_.size()));
        }
        const auto table = image_.view(offset, bytes);
        for (unsigned i = 0; i < count; ++i) read_program_header(i, table.subspan(std::size_t{i} * size, size));
        if (elf_.segments.empty()) refuse("has no PT_LOAD program header with bytes in memory: there is nothing to load");
    }

    void read_program_header(unsigned index, std::span<const std::byte> header) {
        const unsigned type = field_at<std::uint32_t>(header, 0);
        if (type == pt_interp) elf_.interpreter = true;
        if (type != pt_load && type != pt_note) return;
        ElfSegment segment{.index = index,
                           .executable = (field_at<std::uint32_t>(header, layout_.ph_flags) & 1) != 0,
                           .offset = word(header, layout_.ph_offset),
                           .virtual_address = word(header, layout_.ph_vaddr),
                           .physical_address = word(header, layout_.ph_paddr),
                           .file_size = word(header, layout_.ph_filesz),
                           .memory_size = word(header, layout_.ph_memsz)};
        if (segment.file_size != 0 &&
            (segment.offset > image_.size() || segment.file_size > image_.size() - segment.offset)) {
            refuse(
                fmt::format("is truncated: segment {} has {:#x} bytes (p_filesz) from {:#x} (p_offset) on, but the file "
                            "has {:#x}",
                            index, segment.file_size, segment.offset, image_.size()));
        }
        if (type == pt_note) {
            read_notes(segment);
            return;
        }
        if (segment.file_size > segment.memory_size) {
            refuse(
                fmt::format("is a damaged ELF file: segment {} has {:#x} bytes in the file (p_filesz), but {:#x} in memory "
                            "(p_memsz)",
                            index, segment.file_size, segment.memory_size));
        }
        if (segment.memory_size == 0) return;
        const std::uint64_t highest = elf_.is_64 ? ~std::uint64_t{0} : 0xffff'ffff;
        if (segment.memory_size - 1 > highest - segment.physical_address) {
            refuse(
                fmt::format("is a damaged ELF file: segment {} passes the last address with {:#x} bytes (p_memsz) from "
                            "{:#x} (p_paddr) on",
                            index, segment.memory_size, segment.physical_address));
        }
        elf_.segments.push_back(segment);
    }

    void read_notes(const ElfSegment& segment) {
        const auto bytes = image_.view(segment.offset, segment.file_size);
        std::uint64_t at = 0;
        while (at + 12 <= bytes.size()) {
            const std::uint64_t name_size = field_at<std::uint32_t>(bytes, at);
            const std::uint64_t size = field_at<std::uint32_t>(bytes, at + 4);
            const std::uint64_t name_at = at + 12;
            const std::uint64_t content_at = name_at + (name_size + 3) / 4 * 4;
            if (content_at + size > bytes.size()) {
                refuse(
                    fmt::format("has a damaged note at {:#x}: with n_namesz {} and n_descsz {} it passes the end of its "
                                "segment {}",
                                segment.offset + at, name_size, size, segment.index));
            }
            const auto name = bytes.subspan(name_at, name_size == 0 ? 0 : name_size - 1);
            const auto content = bytes.subspan(content_at, size);
            elf_.notes.push_back({std::string(reinterpret_cast<const char*>(name.data()), name.size()),
                                  field_at<std::uint32_t>(bytes, at + 8),
                                  {content.begin(), content.end()}});
            at = content_at + (size + 3) / 4 * 4;
        }
    }

    const Image& image_;
    std::span<const std::byte> head_;
    ElfLayout layout_ = layout_32;
    Elf elf_;
};

bool in_range(std::uint64_t address, std::uint64_t first, std::uint64_t size) noexcept {
    return address >= first && address - first < size;
}

}  // namespace

std::uint64_t Elf::physical_entry() const noexcept {
    for (const bool code : {true, false}) {
        for (const ElfSegment& segment : segments) {
            if ((!code || segment.executable) && in_range(entry, segment.virtual_address, segment.memory_size)) {
                return entry - segment.virtual_address + segment.physical_address;
            }
        }
        if (occupies(entry)) return entry;
    }
    return entry;
}

bool Elf::occupies(std::uint64_t address) const noexcept {
    return std::ranges::any_of(segments, [&](const ElfSegment& segment) {
        return in_range(address, segment.physical_address, segment.memory_size);
    });
}

std::uint64_t Elf::first() const noexcept {
    return std::ranges::min_element(segments, {}, &ElfSegment::physical_address)->physical_address;
}

std::uint64_t Elf::last() const noexcept {
    std::uint64_t last = 0;
    for (const ElfSegment& segment : segments) {
        last = std::max(last, segment.physical_address + (segment.memory_size - 1));
    }
    return last;
}

std::string Elf::kind() const { return fmt::format("ELF{} {}", is_64 ? 64 : 32, x86_64 ? "x86-64" : "i386"); }

std::vector<std::string> Elf::facts() const {
    std::vector<std::string> lines;
    lines.push_back(fmt::format("ELF: {}, {}", kind(), position_independent ? "ET_DYN" : "ET_EXEC"));
    lines.push_back(physical_entry() == entry
                        ? fmt::format("entry: {:#x}", entry)
                        : fmt::format("entry: {:#x}, which is at {:#x} in memory", entry, physical_entry()));
    for (const ElfSegment& segment : segments) {
        lines.push_back(fmt::format(
            "segment {}: {:#x} bytes at {:#x} (virtual {:#x}), {:#x} of them from {:#x} on in the file", segment.index,
            segment.memory_size, segment.physical_address, segment.virtual_address, segment.file_size, segment.offset));
    }
    for (const ElfNote& note : notes) {
        std::string name = note.name;
        std::ranges::replace_if(
            name, [](char c) { return c < ' ' || c > '~'; }, '?');
        lines.push_back(fmt::format("note: {}, type {}, {} bytes", name, note.type, note.content.size()));
    }
    return lines;
}

bool is_elf(const Image& image) { return field_at<std::uint32_t>(image.view(0, layout_64.header_size), 0) == 0x464c'457f; }

Elf read_elf(const Image& image) { return ElfReader(image).read(); }

std::optional<std::uint64_t> pvh_entry(const Elf& elf) noexcept {
    for (const ElfNote& note : elf.notes) {
        if (note.name != "Xen" || note.type != 18) continue;
        if (note.content.size() == 4) return field_at<std::uint32_t>(note.content, 0);
        if (note.content.size() == 8) return field_at<std::uint64_t>(note.content, 0);
    }
    return std::nullopt;
}

}  // namespace asyncvm::boot
