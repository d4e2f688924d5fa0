/// How page tables are laid out, for those who walk them. Pure.
#pragma once

#include <asyncvm/registers.hpp>

#include <cstdint>

#include "x86/bits.hpp"

namespace asyncvm {

/// One kind of paging (Intel SDM vol. 3, chapter 4).
struct Paging {
    static constexpr std::uint64_t present = 1u << 0;
    static constexpr std::uint64_t large = 1u << 7;
    static constexpr std::uint64_t address_bits = 0x000f'ffff'ffff'f000;  ///< of an entry of 8 bytes

    unsigned levels;       ///< 2 to 5; 0: no paging
    unsigned entry_size;   ///< bytes: 4 or 8
    unsigned index_bits;   ///< of the linear address, for each level
    unsigned large_below;  ///< entries of levels 2 to here may be pages
    std::uint64_t root;    ///< the physical address of the top table

    [[nodiscard]] unsigned shift(unsigned level) const noexcept { return 12 + (level - 1) * index_bits; }
    [[nodiscard]] bool is_page(unsigned level, std::uint64_t entry) const noexcept {
        return level == 1 || (level <= large_below && (entry & large) != 0);
    }
    [[nodiscard]] std::uint64_t table(std::uint64_t entry) const noexcept {
        return entry_size == 8 ? entry & address_bits : entry & 0xffff'f000;
    }
    /// The physical address of the page that a leaf names.
    [[nodiscard]] std::uint64_t page(std::uint64_t entry, std::uint64_t page_size) const noexcept {
        if (entry_size == 8) return entry & address_bits & ~(page_size - 1);
        if (page_size == 4096) return entry & 0xffff'f000;
        return (entry & 0xffc0'0000) | ((entry >> 13 & 0xff) << 32);  // PSE-36
    }

    [[nodiscard]] static Paging of(const Registers& registers) noexcept {
        if ((registers.cr0 & cr0_pg) == 0) return {};
        if ((registers.efer & efer_lma) != 0) {
            return {(registers.cr4 & cr4_la57) != 0 ? 5u : 4u, 8, 9, 3, registers.cr3 & address_bits};
        }
        // PAE's top table has 4 entries only, and CR3 points at it with 32 bytes' precision.
        if ((registers.cr4 & cr4_pae) != 0) return {3, 8, 9, 2, registers.cr3 & 0xffff'ffe0};
        return {2, 4, 10, (registers.cr4 & cr4_pse) != 0 ? 2u : 0u, registers.cr3 & 0xffff'f000};
    }
};

}  // namespace asyncvm
