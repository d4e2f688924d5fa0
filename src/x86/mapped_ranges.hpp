/// All that a guest's page tables map.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace asyncvm {

struct MappedRange {
    std::uint64_t linear = 0;
    std::uint64_t physical = 0;  ///< no memory need be there
    std::uint64_t size = 0;      ///< bytes
};

struct MappedRanges {
    std::vector<MappedRange> all;  ///< by their linear addresses; neighbours that go on in physical memory too are one
    bool cut = false;              ///< a limit was reached: there is more
};

/// What `registers` see of the memory. Nothing without paging. A guest can have tables that lead back to themselves, so it
/// stops at `most` ranges, or after `most_entries` entries of tables. Permissions are not looked at.
[[nodiscard]] MappedRanges mapped_ranges(const GuestMemory& memory, const Registers& registers, std::size_t most,
                                         std::uint64_t most_entries = std::uint64_t{1} << 24);

}  // namespace asyncvm
