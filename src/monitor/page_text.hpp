/// A guest's page tables in words: one address, or all that they map. Pure.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

#include "x86/page_walk.hpp"

namespace asyncvm::monitor {

/// A line for a person.
[[nodiscard]] std::string walk_text(const PageWalk& walk, std::uint64_t linear);

/// Tables can lead back to themselves, and map more than anybody reads. What is left out is said in a last line.
struct ListingLimits {
    std::size_t lines = 100'000;
    std::uint64_t entries = std::uint64_t{1} << 24;  ///< of tables that are looked at
};

/// Each range that has the same rights, as QEMU's `info mem` has it: first address, the one behind, size, rights.
[[nodiscard]] std::string ranges_text(const GuestMemory& memory, const Registers& registers, ListingLimits limits = {});

/// Each page, as QEMU's `info tlb` has it: linear address, physical address, flags of its entry (Intel SDM vol. 3, 4.5).
[[nodiscard]] std::string pages_text(const GuestMemory& memory, const Registers& registers, ListingLimits limits = {});

}  // namespace asyncvm::monitor
