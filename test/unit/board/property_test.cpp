// Whatever the machine: nothing overlaps, all checksums are right, every table is inside its window.
#include <asyncvm/board.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <random>

#include "table_reader.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

struct Window {
    std::uint64_t first, end;
};

/// Where each table may lie.
const std::map<std::string, Window> windows{{"BIOS data area", {0x400, 0x500}},
                                            {"extended BIOS data area", {0x9'fc00, 0xa'0000}},
                                            {"ACPI tables", {0xe'0000, 0xf'0000}},
                                            {"MP table", {0xf'0000, 0x10'0000}}};

void check_tables(const PcDescription& description) {
    const auto surroundings = pc_surroundings(description);
    BOOST_TEST(surroundings.cpus == description.cpus);
    std::uint64_t end = 0;
    for (const BootTable& table : surroundings.tables) {  // they come by address
        const Window& window = windows.at(table.name);
        BOOST_TEST(table.address >= window.first);
        BOOST_TEST(table.address + table.bytes.size() <= window.end);
        BOOST_TEST(table.address >= end);
        end = table.address + table.bytes.size();
    }
    const AcpiReader acpi(table_named(surroundings, "ACPI tables").bytes, surroundings.rsdp);  // which adds them up
    BOOST_TEST(acpi.tables().size() == 5u);
    const auto& mp = table_named(surroundings, "MP table").bytes;
    BOOST_TEST(sum_of(std::span(mp).first(16)) == 0u);
    BOOST_TEST(sum_of(std::span(mp).subspan(16)) == 0u);
}

void check_map(std::uint64_t size) {
    const auto map = pc_memory_map(size);
    std::uint64_t end = 0, ram = 0;
    for (const MemoryRange& range : map) {
        BOOST_TEST(range.size > 0u);
        BOOST_TEST(range.address >= end);
        end = range.address + range.size;
        if (range.kind == MemoryKind::ram) {
            ram += range.size;
            // Exactly what GuestMemory has.
            const bool low = range.address + range.size <= std::min(size, GuestMemory::low_limit);
            const bool high = range.address >= GuestMemory::high_base &&
                              range.address + range.size <= GuestMemory::high_base + (size - GuestMemory::low_limit);
            BOOST_TEST((low || high));
        }
    }
    // All of it but the EBDA and the window of devices and ROMs below 1 MiB.
    BOOST_TEST(ram == size - (0x10'0000 - 0x9'fc00));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(properties)

BOOST_AUTO_TEST_CASE(tables_for_every_number_of_cpus) {
    for (unsigned cpus = 1; cpus <= 255; ++cpus) {
        check_tables({.cpus = cpus, .serial_ports = cpus % 5});
    }
}

BOOST_AUTO_TEST_CASE(tables_and_maps_for_memory_from_1_mib_to_6_tib) {
    constexpr std::uint64_t mib = 1 << 20, gib = 1 << 30, page = 4096;
    std::vector<std::uint64_t> sizes;
    for (std::uint64_t size = mib; size <= 6 * 1024 * gib; size += size / 8 / page * page) {
        sizes.insert(sizes.end(), {size, size + page});
    }
    for (const std::uint64_t edge : {3 * gib, 4 * gib, 6 * 1024 * gib}) {
        sizes.insert(sizes.end(), {edge - page, edge, edge + page});
    }
    std::mt19937_64 random(20261128);  // NOLINT: the same numbers in each run
    for (int round = 0; round < 200; ++round) sizes.push_back((mib + random() % (6 * 1024 * gib)) / page * page);
    for (const std::uint64_t size : sizes) {
        BOOST_TEST_CONTEXT("a machine with " << size << " bytes") {
            check_map(size);
            check_tables({.ram_size = size, .cpus = 2});
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
