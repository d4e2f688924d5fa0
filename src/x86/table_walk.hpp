/// All pages that a guest's page tables map, one after the other. Pure.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstdint>
#include <cstring>

#include "x86/paging.hpp"

namespace asyncvm {

/// A page, as the tables have it.
struct MappedPage {
    std::uint64_t linear = 0;    ///< with its sign
    std::uint64_t physical = 0;  ///< no memory need be there
    std::uint64_t size = 0;      ///< bytes
    std::uint64_t entry = 0;     ///< the one that names it
    bool writable = false;       ///< as all levels have it
    bool user = false;           ///< as all levels have it
};

/// A guest can have tables that lead back to themselves, so there is a limit to the entries that are looked at.
class TableWalk {
public:
    TableWalk(const GuestMemory& memory, const Registers& registers, std::uint64_t most_entries) noexcept
        : memory_(memory), paging_(Paging::of(registers)), entries_left_(most_entries) {}

    [[nodiscard]] bool paging() const noexcept { return paging_.levels != 0; }

    /// Once: calls `take(page)` for each page, by their linear addresses, while it returns true. False: there may be more.
    /// Nothing without paging.
    template <typename Take>
    [[nodiscard]] bool pages(Take take) {
        return !paging() || table(paging_.root, paging_.levels, 0, rights, take);
    }

private:
    static constexpr std::uint64_t write = 1u << 1;
    static constexpr std::uint64_t user = 1u << 2;
    static constexpr std::uint64_t rights = write | user;

    /// `linear`: of the table's first entry, without its sign. `allowed`: by the levels above.
    template <typename Take>
    bool table(std::uint64_t address, unsigned level, std::uint64_t linear, std::uint64_t allowed, Take& take) {
        // PAE's top table has four entries, which say nothing about rights.
        const bool short_table = paging_.levels == 3 && level == 3;
        const std::uint64_t entries = short_table ? 4 : std::uint64_t{1} << paging_.index_bits;
        const auto bytes = memory_.try_at(address, entries * paging_.entry_size);
        if (bytes.empty()) return true;
        const std::uint64_t step = std::uint64_t{1} << paging_.shift(level);
        for (std::uint64_t i = 0; i < entries; ++i, linear += step) {
            if (entries_left_ == 0) return false;
            --entries_left_;
            std::uint64_t entry = 0;
            std::memcpy(&entry, bytes.data() + i * paging_.entry_size, paging_.entry_size);
            if ((entry & Paging::present) == 0) continue;
            const std::uint64_t left = short_table ? allowed : allowed & entry;
            const bool more = paging_.is_page(level, entry)
                                  ? take(MappedPage{.linear = with_sign(linear),
                                                    .physical = paging_.page(entry, step),
                                                    .size = step,
                                                    .entry = entry,
                                                    .writable = (left & write) != 0,
                                                    .user = (left & user) != 0})
                                  : table(paging_.table(entry), level - 1, linear, left, take);
            if (!more) return false;
        }
        return true;
    }

    [[nodiscard]] std::uint64_t with_sign(std::uint64_t linear) const noexcept {
        if (paging_.levels < 4) return linear;
        const unsigned unused = 64 - (12 + 9 * paging_.levels);
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(linear << unused) >> unused);
    }

    const GuestMemory& memory_;
    const Paging paging_;
    std::uint64_t entries_left_;
};

}  // namespace asyncvm
