#include "boot/initial_state.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace asyncvm {
namespace {

constexpr std::uint64_t cr0_pe = 1u << 0;
constexpr std::uint64_t cr0_mp = 1u << 1;
constexpr std::uint64_t cr0_et = 1u << 4;
constexpr std::uint64_t cr0_ne = 1u << 5;
constexpr std::uint64_t cr0_nw = 1u << 29;
constexpr std::uint64_t cr0_cd = 1u << 30;
constexpr std::uint64_t cr0_pg = 1u << 31;
constexpr std::uint64_t cr4_pae = 1u << 5;
constexpr std::uint64_t cr4_osfxsr = 1u << 9;
constexpr std::uint64_t cr4_osxmmexcpt = 1u << 10;
constexpr std::uint64_t efer_lme = 1u << 8;
constexpr std::uint64_t efer_lma = 1u << 10;

// Types of segments; "accessed" is set, so that loading one never writes to its descriptor.
constexpr std::uint8_t type_data = 0x3;
constexpr std::uint8_t type_code = 0xb;
constexpr std::uint8_t type_ldt = 0x2;
constexpr std::uint8_t type_busy_tss = 0xb;

constexpr std::uint64_t code32_descriptor = 0x00cf'9b00'0000'ffff;
constexpr std::uint64_t code64_descriptor = 0x00af'9b00'0000'ffff;
constexpr std::uint64_t data_descriptor = 0x00cf'9300'0000'ffff;

constexpr std::uint64_t page_present = 1u << 0;
constexpr std::uint64_t page_writable = 1u << 1;
constexpr std::uint64_t page_accessed = 1u << 5;
constexpr std::uint64_t page_dirty = 1u << 6;
constexpr std::uint64_t page_large = 1u << 7;

void put64(std::span<std::byte> tables, std::uint64_t offset, std::uint64_t value) {
    std::memcpy(tables.data() + offset, &value, sizeof value);
}

/// VM entry wants a usable, busy TSS in every mode (Intel SDM vol. 3, 27.3.1.2); this is the one after a reset.
Segment task_register() {
    Segment tr;
    tr.limit = 0xffff;
    tr.type = type_busy_tss;
    tr.present = true;
    return tr;
}

Segment flat_segment(std::uint16_t selector, std::uint8_t type, bool long_mode) {
    Segment segment;
    segment.selector = selector;
    segment.limit = 0xffff'ffff;
    segment.type = type;
    segment.present = true;
    segment.code_or_data = true;
    segment.long_mode = long_mode;
    segment.default_32 = !long_mode;  // both together are reserved
    segment.granularity_4k = true;
    return segment;
}

/// Behind the flat guest's, or in front of Linux's, is the other kind of code, for guests that change between the two.
DescriptorTable write_gdt(std::span<std::byte> tables, std::uint64_t code, std::uint64_t other_code, bool linux_selectors) {
    const std::array<std::uint64_t, 4> flat{0, code, data_descriptor, other_code};
    const std::array<std::uint64_t, 4> for_linux{0, other_code, code, data_descriptor};
    const auto& entries = linux_selectors ? for_linux : flat;
    for (std::size_t i = 0; i < entries.size(); ++i) put64(tables, boot_layout::gdt + 8 * i, entries[i]);
    return {GuestMemory::boot_tables_base + boot_layout::gdt, sizeof entries - 1};
}

/// The first 4 GiB one to one, in pages of 2 MiB: 1 GiB pages are not on every processor. Accessed and dirty are set, so
/// that the walk never has to write.
void write_page_tables(std::span<std::byte> tables) {
    constexpr std::uint64_t table = page_present | page_writable | page_accessed;
    constexpr std::uint64_t page = table | page_dirty | page_large;
    constexpr std::uint64_t base = GuestMemory::boot_tables_base;
    put64(tables, boot_layout::pml4, (base + boot_layout::pdpt) | table);
    for (std::uint64_t gib = 0; gib < 4; ++gib) {
        const std::uint64_t directory = boot_layout::page_directories + gib * GuestMemory::page_size;
        put64(tables, boot_layout::pdpt + 8 * gib, (base + directory) | table);
        for (std::uint64_t i = 0; i < 512; ++i) put64(tables, directory + 8 * i, (gib << 30) | (i << 21) | page);
    }
}

Registers real_mode(const GuestMemory& memory, std::uint64_t entry) {
    Registers registers;
    const auto selector = static_cast<std::uint16_t>((entry & 0xf0000) >> 4);
    registers.rip = entry & 0xffff;
    registers.cs = real_mode_segment(selector, true);
    registers.ds = registers.es = registers.ss = real_mode_segment(selector, false);
    registers.fs = registers.gs = real_mode_segment(0, false);
    // 0 means 0x10000, the end of the segment: the first PUSH writes to SS:fffe. It is less if the RAM ends before.
    const std::uint64_t room = memory.ram_size() - std::min(memory.ram_size(), registers.ss.base);
    registers.rsp = std::min<std::uint64_t>(room, 0x10000) & 0xffff;
    registers.tr = task_register();
    registers.ldt.limit = 0xffff;
    registers.ldt.type = type_ldt;
    registers.ldt.present = true;
    registers.gdt.limit = 0xffff;
    registers.idt.limit = 0x3ff;
    // Caching is on, unlike after a reset.
    registers.cr0 = cr0_et;
    return registers;
}

Registers flat_mode(const GuestMemory& memory, std::uint64_t entry, bool long_mode, bool linux_selectors) {
    const std::uint16_t code_selector = linux_selectors ? 0x10 : 0x08;
    const std::uint16_t data_selector = linux_selectors ? 0x18 : 0x10;
    Registers registers;
    registers.rip = entry;
    registers.rsp = std::min(memory.ram_size(), GuestMemory::low_limit);
    registers.cs = flat_segment(code_selector, type_code, long_mode);
    registers.ds = registers.es = registers.fs = registers.gs = registers.ss = flat_segment(data_selector, type_data, false);
    registers.tr = task_register();
    registers.ldt.type = type_ldt;  // not present: unusable
    registers.cr0 = cr0_pe | cr0_et | cr0_ne;
    return registers;
}

}  // namespace

Segment real_mode_segment(std::uint16_t selector, bool code) noexcept {
    Segment segment;
    segment.selector = selector;
    segment.base = std::uint64_t{selector} << 4;
    segment.limit = 0xffff;
    segment.type = code ? type_code : type_data;
    segment.present = true;
    segment.code_or_data = true;
    return segment;
}

Registers reset_registers() noexcept {
    Registers registers;
    registers.rip = 0xfff0;
    registers.cs = real_mode_segment(0xf000, true);
    registers.cs.base = 0xffff'0000;
    registers.ds = registers.es = registers.fs = registers.gs = registers.ss = real_mode_segment(0, false);
    registers.tr = task_register();
    registers.ldt.limit = 0xffff;
    registers.ldt.type = type_ldt;
    registers.ldt.present = true;
    registers.gdt.limit = registers.idt.limit = 0xffff;
    registers.cr0 = cr0_et | cr0_nw | cr0_cd;
    return registers;
}

Registers initial_registers(GuestMemory& memory, Mode mode, std::uint64_t entry, bool linux_selectors) {
    if (mode == Mode::real16) return real_mode(memory, entry);
    const auto tables = memory.boot_tables();
    if (mode == Mode::protected32) {
        Registers registers = flat_mode(memory, entry, false, linux_selectors);
        registers.gdt = write_gdt(tables, code32_descriptor, code64_descriptor, linux_selectors);
        return registers;
    }
    Registers registers = flat_mode(memory, entry, true, linux_selectors);
    registers.gdt = write_gdt(tables, code64_descriptor, code32_descriptor, linux_selectors);
    write_page_tables(tables);
    // Compilers use SSE in every x86-64 program: without OSFXSR its first instruction would be an invalid opcode.
    registers.cr0 |= cr0_pg | cr0_mp;
    registers.cr3 = GuestMemory::boot_tables_base + boot_layout::pml4;
    registers.cr4 = cr4_pae | cr4_osfxsr | cr4_osxmmexcpt;
    registers.efer = efer_lme | efer_lma;
    return registers;
}

}  // namespace asyncvm
