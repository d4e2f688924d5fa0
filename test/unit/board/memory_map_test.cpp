#define BOOST_TEST_MODULE board
#include <asyncvm/board.hpp>
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

using namespace asyncvm;

namespace {

constexpr std::uint64_t kib = 1 << 10, mib = 1 << 20, gib = 1 << 30;

std::optional<MemoryKind> kind_at(const std::vector<MemoryRange>& map, std::uint64_t address) {
    for (const MemoryRange& range : map) {
        if (address >= range.address && address - range.address < range.size) return range.kind;
    }
    return std::nullopt;
}

std::uint64_t ram_in(const std::vector<MemoryRange>& map, std::uint64_t first, std::uint64_t end) {
    std::uint64_t sum = 0;
    for (const MemoryRange& range : map) {
        if (range.kind == MemoryKind::ram && range.address >= first && range.address < end) sum += range.size;
    }
    return sum;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memory_map)

BOOST_AUTO_TEST_CASE(conventional_memory_ends_where_the_extended_bios_data_area_begins) {
    const auto map = pc_memory_map(64 * mib);
    BOOST_TEST((kind_at(map, 0) == MemoryKind::ram));
    BOOST_TEST((kind_at(map, 0x9'fbff) == MemoryKind::ram));
    BOOST_TEST((kind_at(map, 0x9'fc00) == MemoryKind::reserved));
    BOOST_TEST((kind_at(map, 0x9'ffff) == MemoryKind::reserved));
    BOOST_TEST((kind_at(map, 0xa'0000) == std::nullopt));
    BOOST_TEST((kind_at(map, 0xd'ffff) == std::nullopt));
    BOOST_TEST((kind_at(map, 0xe'0000) == MemoryKind::reserved));
    BOOST_TEST((kind_at(map, 0xf'ffff) == MemoryKind::reserved));
    BOOST_TEST((kind_at(map, 0x10'0000) == MemoryKind::ram));
}

BOOST_AUTO_TEST_CASE(ram_ends_at_the_size_of_the_memory) {
    const auto map = pc_memory_map(64 * mib);
    BOOST_TEST((kind_at(map, 64 * mib - 1) == MemoryKind::ram));
    BOOST_TEST((kind_at(map, 64 * mib) == std::nullopt));
}

BOOST_AUTO_TEST_CASE(ram_goes_on_at_4_gib_from_3_gib_on) {
    const auto full = pc_memory_map(3 * gib);
    BOOST_TEST(ram_in(full, mib, 4 * gib) == 3 * gib - mib);
    BOOST_TEST(ram_in(full, 4 * gib, ~std::uint64_t{0}) == 0u);
    const auto more = pc_memory_map(5 * gib);
    BOOST_TEST(ram_in(more, mib, 4 * gib) == 3 * gib - mib);
    BOOST_TEST(ram_in(more, 4 * gib, ~std::uint64_t{0}) == 2 * gib);
    BOOST_TEST((kind_at(more, 3 * gib) == std::nullopt));
    BOOST_TEST((kind_at(more, 4 * gib) == MemoryKind::ram));
    BOOST_TEST((kind_at(more, 6 * gib - 1) == MemoryKind::ram));
    BOOST_TEST((kind_at(more, 6 * gib) == std::nullopt));
}

BOOST_AUTO_TEST_CASE(what_the_machine_keeps_below_4_gib_is_reserved) {
    const auto map = pc_memory_map(mib);
    for (const std::uint64_t address :
         {virtio_place(0).memory.first, virtio_place(31).memory.first + 0xfff, pci_ecam.first,
          pci_ecam.first + pci_ecam.size - 1, GuestMemory::boot_tables_base, GuestMemory::accelerator_pages_base,
          GuestMemory::accelerator_pages_base + GuestMemory::accelerator_pages_size - 1}) {
        BOOST_TEST((kind_at(map, address) == MemoryKind::reserved));
    }
}

BOOST_AUTO_TEST_CASE(the_window_of_the_pci_bus_is_nobody_s) {
    for (const std::uint64_t size : {mib, 3 * gib, 5 * gib}) {
        for (const MemoryRange& range : pc_memory_map(size)) {
            const bool before = range.address + range.size <= pci_window.first;
            const bool behind = range.address >= pci_window.first + pci_window.size;
            BOOST_TEST((before || behind));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_machine_of_1_mib_has_conventional_memory_only_and_a_smaller_one_is_refused) {
    BOOST_TEST(ram_in(pc_memory_map(mib), 0, ~std::uint64_t{0}) == 639 * kib);
    try {
        static_cast<void>(pc_memory_map(mib - 4096));
        BOOST_FAIL("it is not refused");
    } catch (const Error& error) {
        BOOST_TEST((error.kind() == ErrorKind::usage));
        BOOST_TEST(std::string(error.what()) == "a pc machine needs 1 MiB of memory at least, not 1020 KiB");
    }
}

BOOST_AUTO_TEST_CASE(a_flat_machine_is_ram_without_tables) {
    const auto small = flat_surroundings(64 * kib, 2);
    BOOST_TEST(small.cpus == 2u);
    BOOST_TEST(small.tables.empty());
    BOOST_TEST(small.rsdp == 0u);
    BOOST_TEST(ram_in(small.map, 0, ~std::uint64_t{0}) == 64 * kib);
    BOOST_TEST(small.map.size() == 2u);  // Linux takes a map with one entry for a broken one
    const auto large = flat_surroundings(5 * gib, 1).map;
    BOOST_TEST(ram_in(large, 0, 4 * gib) == 3 * gib);
    BOOST_TEST(ram_in(large, 4 * gib, ~std::uint64_t{0}) == 2 * gib);
    BOOST_TEST((kind_at(large, GuestMemory::boot_tables_base) == MemoryKind::reserved));
    BOOST_TEST((kind_at(large, 4 * gib - 1) == MemoryKind::reserved));
}

BOOST_AUTO_TEST_SUITE_END()
