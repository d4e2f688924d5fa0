#include "vmcore/layout.hpp"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "vmcore/notes.hpp"
#include "x86/bits.hpp"

namespace asyncvm::vmcore {

namespace {

/// A header counts them with 16 bits, and 0xffff means that the number is elsewhere, which not every reader knows.
constexpr std::size_t most_headers = 0xfffe;

/// A program header of either kind.
struct Header {
    std::uint32_t type = PT_LOAD;
    std::uint64_t offset = 0;
    std::uint64_t linear = 0;
    std::uint64_t physical = 0;
    std::uint64_t size = 0;
    std::uint64_t memory_size = 0;
    std::uint64_t alignment = 0;  ///< with another value crash takes the file for one of netdump, and looks for no KASLR
};

template <typename T>
void append(std::vector<std::byte>& bytes, const T& value) {
    const auto at = bytes.size();
    bytes.resize(at + sizeof value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

struct Elf32 {
    using FileHeader = Elf32_Ehdr;
    using ProgramHeader = Elf32_Phdr;
    static constexpr unsigned char elf_class = ELFCLASS32;
    static constexpr Elf32_Half machine = EM_386;
};

struct Elf64 {
    using FileHeader = Elf64_Ehdr;
    using ProgramHeader = Elf64_Phdr;
    static constexpr unsigned char elf_class = ELFCLASS64;
    static constexpr Elf64_Half machine = EM_X86_64;
};

template <typename Elf>
void append_headers(std::vector<std::byte>& bytes, std::span<const Header> headers) {
    typename Elf::FileHeader file{};
    std::memcpy(file.e_ident, ELFMAG, SELFMAG);
    file.e_ident[EI_CLASS] = Elf::elf_class;
    file.e_ident[EI_DATA] = ELFDATA2LSB;
    file.e_ident[EI_VERSION] = EV_CURRENT;
    file.e_type = ET_CORE;
    file.e_machine = Elf::machine;
    file.e_version = EV_CURRENT;
    file.e_phoff = sizeof file;
    file.e_ehsize = sizeof file;
    file.e_phentsize = sizeof(typename Elf::ProgramHeader);
    file.e_phnum = static_cast<decltype(file.e_phnum)>(headers.size());
    append(bytes, file);
    for (const Header& header : headers) {
        typename Elf::ProgramHeader program{};
        using Word = decltype(program.p_vaddr);
        program.p_type = header.type;
        program.p_flags = header.type == PT_LOAD ? PF_R | PF_W | PF_X : 0;
        program.p_offset = static_cast<Word>(header.offset);
        program.p_vaddr = static_cast<Word>(header.linear);
        program.p_paddr = static_cast<Word>(header.physical);
        program.p_filesz = static_cast<Word>(header.size);
        program.p_memsz = static_cast<Word>(header.memory_size);
        program.p_align = static_cast<Word>(header.alignment);
        append(bytes, program);
    }
}

template <typename Elf>
std::uint64_t size_of_headers(std::size_t count) {
    return sizeof(typename Elf::FileHeader) + count * sizeof(typename Elf::ProgramHeader);
}

bool needs_64_bits(std::span<const Thread> threads, std::span<const Range> memory) {
    const auto long_mode = [](const Thread& thread) { return (thread.registers.efer & efer_lma) != 0; };
    constexpr std::uint64_t four_gib = std::uint64_t{1} << 32;
    return std::ranges::any_of(threads, long_mode) ||
           std::ranges::any_of(memory, [](const Range& range) { return range.first + range.size > four_gib; });
}

/// The part of `mapped` that is in `range`; of size 0: none.
MappedRange overlap(const MappedRange& mapped, const Range& range) {
    const auto begin = std::max(mapped.physical, range.first);
    const auto end = std::min(mapped.physical + mapped.size, range.first + range.size);
    if (begin >= end) return {};
    return {mapped.linear + (begin - mapped.physical), begin, end - begin};
}

}  // namespace

Layout lay_out(std::span<const Thread> threads, std::span<const Range> memory, std::span<const MappedRange> mapped,
               std::span<const std::byte> more) {
    const bool elf64 = needs_64_bits(threads, memory);
    auto all_notes = notes(threads, elf64);
    all_notes.insert(all_notes.end(), more.begin(), more.end());
    std::vector<Header> headers{
        {.type = PT_NOTE, .size = all_notes.size(), .memory_size = all_notes.size(), .alignment = 4}};
    Layout layout;
    for (const MappedRange& range : mapped) {
        for (const Range& part : memory) {
            const auto here = overlap(range, part);
            if (here.size == 0) continue;
            if (headers.size() + memory.size() >= most_headers) {
                ++layout.left_out;
                break;
            }
            headers.push_back(
                {.linear = here.linear, .physical = here.physical, .size = here.size, .memory_size = here.size});
        }
    }
    for (const Range& part : memory) {
        const auto is_here = [&](const Header& header) {
            return header.type == PT_LOAD && header.linear == part.first && header.physical == part.first &&
                   header.size == part.size;
        };
        if (std::ranges::any_of(headers, is_here)) continue;
        headers.push_back({.linear = part.first, .physical = part.first, .size = part.size, .memory_size = part.size});
    }
    // Where everything is can be said now that the number of headers is known.
    const auto begin_of_notes = elf64 ? size_of_headers<Elf64>(headers.size()) : size_of_headers<Elf32>(headers.size());
    headers.front().offset = begin_of_notes;
    std::uint64_t end = begin_of_notes + all_notes.size();
    for (const Range& part : memory) {
        end = (end + page_size - 1) / page_size * page_size + part.first % page_size;
        layout.parts.push_back({part, end});
        end += part.size;
    }
    layout.size = end;
    for (Header& header : std::span(headers).subspan(1)) {
        const auto part = std::ranges::find_if(layout.parts, [&](const Layout::Part& one) {
            return header.physical >= one.memory.first && header.physical - one.memory.first < one.memory.size;
        });
        header.offset = part->offset + (header.physical - part->memory.first);
    }
    if (elf64) {
        append_headers<Elf64>(layout.head, headers);
    } else {
        append_headers<Elf32>(layout.head, headers);
    }
    layout.head.insert(layout.head.end(), all_notes.begin(), all_notes.end());
    return layout;
}

}  // namespace asyncvm::vmcore
