/// What a guest is told about its memory.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <cstdint>

namespace asyncvm {

/// The numbers of BIOS call E820 (ACPI 6.5, table 15.3), which Linux's zero page, PVH and Multiboot use too.
enum class MemoryKind : std::uint32_t {
    ram = 1,
    reserved = 2,
    acpi_reclaimable = 3,  ///< ACPI tables, which the guest may use as RAM when it has read them
    acpi_nvs = 4,
};

/// Guest-physical addresses from `address` on.
struct MemoryRange {
    std::uint64_t address = 0;
    std::uint64_t size = 0;  ///< bytes
    MemoryKind kind = MemoryKind::ram;
};

}  // namespace asyncvm
