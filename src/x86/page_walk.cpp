#include "x86/page_walk.hpp"

#include "x86/paging.hpp"

#include <algorithm>
#include <cstring>

namespace asyncvm {
namespace {

/// False when there is no memory.
bool read_entry(const GuestMemory& memory, std::uint64_t address, unsigned size, std::uint64_t& entry) noexcept {
    const auto bytes = memory.try_at(address, size);
    if (bytes.empty()) return false;
    entry = 0;
    std::memcpy(&entry, bytes.data(), size);
    return true;
}

PageWalk walk(const GuestMemory& memory, const Paging& paging, std::uint64_t linear) noexcept {
    PageWalk result;
    std::uint64_t table = paging.root;
    for (unsigned level = paging.levels;; --level) {
        const unsigned shift = paging.shift(level);
        const std::uint64_t index = (linear >> shift) & ((std::uint64_t{1} << paging.index_bits) - 1);
        std::uint64_t entry = 0;
        result.level = level;
        if (!read_entry(memory, table + index * paging.entry_size, paging.entry_size, entry)) {
            result.status = PageWalk::Status::table_outside;
            return result;
        }
        if ((entry & Paging::present) == 0) {
            result.status = PageWalk::Status::not_present;
            return result;
        }
        if (paging.is_page(level, entry)) {
            result.page_size = std::uint64_t{1} << shift;
            result.physical = paging.page(entry, result.page_size) + (linear & (result.page_size - 1));
            return result;
        }
        table = paging.table(entry);
    }
}

}  // namespace

PageWalk translate(const GuestMemory& memory, const Registers& registers, std::uint64_t linear) noexcept {
    const Paging paging = Paging::of(registers);
    if (paging.levels == 0) return {.physical = linear & 0xffff'ffff, .page_size = GuestMemory::page_size};
    if (paging.levels < 4) return walk(memory, paging, linear & 0xffff'ffff);
    const unsigned unused = 64 - (12 + 9 * paging.levels);
    // Moved up and, arithmetically, down again: what sign extension from the top level makes of the address.
    const auto extended = static_cast<std::uint64_t>(static_cast<std::int64_t>(linear << unused) >> unused);
    if (extended != linear) return {.status = PageWalk::Status::not_canonical, .level = paging.levels};
    return walk(memory, paging, linear);
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
