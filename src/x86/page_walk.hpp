/// From linear to guest-physical addresses, through the guest's own page tables.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace asyncvm {

/// What one linear address leads to. Permissions are not looked at, and nothing is marked as accessed.
struct PageWalk {
    enum class Status : std::uint8_t {
        mapped,
        not_present,    ///< an entry says so
        not_canonical,  ///< the upper bits of a 64-bit address are not copies of one bit
        table_outside,  ///< a table lies where there is no memory
    };
    Status status = Status::mapped;
    unsigned level = 0;           ///< of the table where the walk ended: 1 is the page table, 5 the PML5; 0 without paging
    std::uint64_t physical = 0;   ///< when mapped; no memory need be there
    std::uint64_t page_size = 0;  ///< when mapped: 4096, 2 or 4 MiB, 1 GiB; without paging 4096
};

/// Walks as the processor would (Intel SDM vol. 3, chapter 4): no paging, 32-bit, PAE, 4 levels or 5. PAE's four top entries
/// are taken from memory, not from the processor's copy.
[[nodiscard]] PageWalk translate(const GuestMemory& memory, const Registers& registers, std::uint64_t linear) noexcept;

/// Copies what lies at a linear address, up to the first byte that isn't there; returns how much that was.
std::size_t read_linear(const GuestMemory& memory, const Registers& registers, std::uint64_t linear,
                        std::span<std::byte> to) noexcept;

/// The same for writing, whatever the pages allow.
std::size_t write_linear(GuestMemory& memory, const Registers& registers, std::uint64_t linear,
                         std::span<const std::byte> from) noexcept;

}  // namespace asyncvm
