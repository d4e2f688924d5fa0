/// ELF files as kernels: their headers, segments and notes. System V ABI, chapters 4 and 5. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "boot/image.hpp"

namespace asyncvm::boot {

/// A PT_LOAD program header. Its p_filesz bytes are in the file, and its addresses do not wrap.
struct ElfSegment {
    unsigned index = 0;  ///< among all program headers, for messages
    bool executable = false;
    std::uint64_t offset = 0;
    std::uint64_t virtual_address = 0;   ///< p_vaddr
    std::uint64_t physical_address = 0;  ///< p_paddr: where it is placed
    std::uint64_t file_size = 0;
    std::uint64_t memory_size = 0;  ///< at least file_size; the rest is zeros
};

struct ElfNote {
    std::string name;
    std::uint32_t type = 0;
    std::vector<std::byte> content;
};

struct Elf {
    bool is_64 = false;                 ///< the class: ELF64, else ELF32
    bool x86_64 = false;                ///< the machine: EM_X86_64, else EM_386
    bool position_independent = false;  ///< ET_DYN
    bool interpreter = false;           ///< it has a PT_INTERP: a program of an operating system
    std::uint64_t entry = 0;            ///< e_entry as it is
    std::vector<ElfSegment> segments;   ///< those with bytes in memory, in the file's order; at least one
    std::vector<ElfNote> notes;         ///< of all PT_NOTE segments
    std::uint64_t section_offset = 0;   ///< the table of section headers; its fields are not checked
    unsigned section_size = 0;
    unsigned section_count = 0;
    unsigned section_names = 0;  ///< e_shstrndx

    /// Guest-physical. e_entry is virtual if a segment that is code has it among its virtual addresses; the segment's place
    /// gives the physical address then. Otherwise it is physical already if a segment is placed there, else it is looked for
    /// in all segments, and taken as it is where none has it.
    [[nodiscard]] std::uint64_t physical_entry() const noexcept;

    /// Whether a segment is placed at `address`.
    [[nodiscard]] bool occupies(std::uint64_t address) const noexcept;

    /// The first and the last address that the segments take. What is between them may be free.
    [[nodiscard]] std::uint64_t first() const noexcept;
    [[nodiscard]] std::uint64_t last() const noexcept;

    /// "ELF64 x86-64"
    [[nodiscard]] std::string kind() const;

    /// "key: value" lines for `inspect`.
    [[nodiscard]] std::vector<std::string> facts() const;
};

[[nodiscard]] bool is_elf(const Image& image);

/// Throws Error(guest_image) that names the field and its value: no ELF file, a wrong machine, byte order or type, a table
/// or a segment that is not all in the file or passes the last address, no segment to load, a damaged note.
[[nodiscard]] Elf read_elf(const Image& image);

/// The entry of PVH: the value of note 18 (XEN_ELFNOTE_PHYS32_ENTRY) of "Xen", of 4 or 8 bytes.
[[nodiscard]] std::optional<std::uint64_t> pvh_entry(const Elf& elf) noexcept;

}  // namespace asyncvm::boot
