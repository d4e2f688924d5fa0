#include <asyncvm/board.hpp>
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>

#include "board/pc_layout.hpp"

std::vector<asyncvm::MemoryRange> asyncvm::pc_memory_map(std::uint64_t ram_size) {
    using namespace board;
    if (ram_size < extended_memory) {
        throw Error(ErrorKind::usage,
                    fmt::format("a pc machine needs 1 MiB of memory at least, not {} KiB", ram_size >> 10));
    }
    std::vector<MemoryRange> map{
        {.address = 0, .size = ebda, .kind = MemoryKind::ram},
        {.address = ebda, .size = ebda_size, .kind = MemoryKind::reserved},
        {.address = acpi_tables, .size = extended_memory - acpi_tables, .kind = MemoryKind::reserved},
    };
    const std::uint64_t low_end = std::min(ram_size, low_ram_limit);
    if (low_end > extended_memory) {
        map.push_back({.address = extended_memory, .size = low_end - extended_memory, .kind = MemoryKind::ram});
    }
    map.push_back({.address = pci_ecam.first, .size = pci_ecam.size, .kind = MemoryKind::reserved});
    map.push_back({.address = virtio_base, .size = virtio_size, .kind = MemoryKind::reserved});
    // The start's page tables, and what accelerators keep for themselves: no place for a PCI device.
    static_assert(GuestMemory::boot_tables_base < GuestMemory::accelerator_pages_base);
    map.push_back(
        {.address = GuestMemory::boot_tables_base,
         .size = GuestMemory::accelerator_pages_base + GuestMemory::accelerator_pages_size - GuestMemory::boot_tables_base,
         .kind = MemoryKind::reserved});
    if (ram_size > low_ram_limit) {
        map.push_back({.address = high_ram, .size = ram_size - low_ram_limit, .kind = MemoryKind::ram});
    }
    return map;
}

asyncvm::BootSurroundings asyncvm::flat_surroundings(std::uint64_t ram_size, unsigned cpus) {
    using namespace board;
    BootSurroundings surroundings;
    surroundings.cpus = cpus;
    surroundings.map.push_back({.address = 0, .size = std::min(ram_size, low_ram_limit), .kind = MemoryKind::ram});
    // Linux takes a map with one entry for a broken one.
    constexpr std::uint64_t tables = GuestMemory::boot_tables_base;
    surroundings.map.push_back({.address = tables, .size = high_ram - tables, .kind = MemoryKind::reserved});
    if (ram_size > low_ram_limit) {
        surroundings.map.push_back({.address = high_ram, .size = ram_size - low_ram_limit, .kind = MemoryKind::ram});
    }
    return surroundings;
}
