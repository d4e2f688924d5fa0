#include "x86/page_walk.hpp"

#include "x86/bits.hpp"

#include <algorithm>
#include <cstring>

namespace asyncvm {
namespace {

constexpr std::uint64_t entry_present = 1u << 0;
constexpr std::uint64_t entry_large = 1u << 7;
constexpr std::uint64_t address_bits = 0x000f'ffff'ffff'f000;  ///< of an entry of 8 bytes

/// How one kind of paging is laid out.
struct Layout {
    unsigned levels;       ///< 2 to 5
    unsigned entry_size;   ///< bytes: 4 or 8
    unsigned index_bits;   ///< of the linear address, for each level
    unsigned large_below;  ///< entries of levels 2 to here may be pages
};

/// False when there is no memory.
bool read_entry(const GuestMemory& memory, std::uint64_t address, unsigned size, std::uint64_t& entry) noexcept {
    const auto bytes = memory.try_at(address, size);
    if (bytes.empty()) return false;
    entry = 0;
    std::memcpy(&entry, bytes.data(), size);
    return true;
}

/// The physical address of the page that a leaf names.
std::uint64_t page_base(const Layout& layout, std::uint64_t entry, std::uint64_t page_size) noexcept {
    if (layout.entry_size == 8) return entry & address_bits & ~(page_size - 1);
    if (page_size == 4096) return entry & 0xffff'f000;
    return (entry & 0xffc0'0000) | ((entry >> 13 & 0xff) << 32);  // PSE-36
}

PageWalk walk(const GuestMemory& memory, const Layout& layout, std::uint64_t table, std::uint64_t linear) noexcept {
    PageWalk result;
    for (unsigned level = layout.levels;; --level) {
        const unsigned shift = 12 + (level - 1) * layout.index_bits;
        const std::uint64_t index = (linear >> shift) & ((std::uint64_t{1} << layout.index_bits) - 1);
        std::uint64_t entry = 0;
        result.level = level;
        if (!read_entry(memory, table + index * layout.entry_size, layout.entry_size, entry)) {
            result.status = PageWalk::Status::table_outside;
            return result;
        }
        if ((entry & entry_present) == 0) {
            result.status = PageWalk::Status::not_present;
            return result;
        }
        const bool large = level > 1 && level <= layout.large_below && (entry & entry_large) != 0;
        if (level == 1 || large) {
            result.page_size = std::uint64_t{1} << shift;
            result.physical = page_base(layout, entry, result.page_size) + (linear & (result.page_size - 1));
            return result;
        }
        table = layout.entry_size == 8 ? entry & address_bits : entry & 0xffff'f000;
    }
}

}  // namespace

PageWalk translate(const GuestMemory& memory, const Registers& registers, std::uint64_t linear) noexcept {
    if ((registers.cr0 & cr0_pg) == 0) {
        return {.physical = linear & 0xffff'ffff, .page_size = GuestMemory::page_size};
    }
    if ((registers.efer & efer_lma) != 0) {
        const unsigned levels = (registers.cr4 & cr4_la57) != 0 ? 5 : 4;
        const unsigned unused = 64 - (12 + 9 * levels);
        // Moved up and, arithmetically, down again: what sign extension from the top level makes of the address.
        const auto extended = static_cast<std::uint64_t>(static_cast<std::int64_t>(linear << unused) >> unused);
        if (extended != linear) return {.status = PageWalk::Status::not_canonical, .level = levels};
        return walk(memory, {levels, 8, 9, 3}, registers.cr3 & address_bits, linear);
    }
    linear &= 0xffff'ffff;
    // PAE's top table has 4 entries only, and CR3 points at it with 32 bytes' precision.
    if ((registers.cr4 & cr4_pae) != 0) return walk(memory, {3, 8, 9, 2}, registers.cr3 & 0xffff'ffe0, linear);
    const unsigned large_below = (registers.cr4 & cr4_pse) != 0 ? 2 : 0;
    return walk(memory, {2, 4, 10, large_below}, registers.cr3 & 0xffff'f000, linear);
}

namespace {

/// Page by page: `copy` gets a physical address, an offset and a size, and returns how much it could copy.
template <typename Copy>
std::size_t by_pages(const GuestMemory& memory, const Registers& registers, std::uint64_t linear, std::size_t size,
                     Copy copy) noexcept {
    std::size_t done = 0;
    while (done < size) {
        const PageWalk page = translate(memory, registers, linear + done);
        if (page.status != PageWalk::Status::mapped) break;
        const std::uint64_t left = GuestMemory::page_size - (page.physical & (GuestMemory::page_size - 1));
        const std::size_t wanted = std::min<std::size_t>(size - done, left);
        const std::size_t count = copy(page.physical, done, wanted);
        done += count;
        if (count < wanted) break;
    }
    return done;
}

}  // namespace

std::size_t read_linear(const GuestMemory& memory, const Registers& registers, std::uint64_t linear,
                        std::span<std::byte> to) noexcept {
    return by_pages(memory, registers, linear, to.size(), [&](std::uint64_t physical, std::size_t at, std::size_t size) {
        return memory.read(physical, to.subspan(at, size));
    });
}

std::size_t write_linear(GuestMemory& memory, const Registers& registers, std::uint64_t linear,
                         std::span<const std::byte> from) noexcept {
    return by_pages(memory, registers, linear, from.size(), [&](std::uint64_t physical, std::size_t at, std::size_t size) {
        return memory.write(physical, from.subspan(at, size));
    });
}

}  // namespace asyncvm
