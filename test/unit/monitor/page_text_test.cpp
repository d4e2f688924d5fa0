// Page tables as QEMU's `info mem` and `info tlb` have them. What is expected of well-formed tables is what QEMU 7.2 prints.
#include "monitor/page_text.hpp"

#include "../report/bytes.hpp"
#include "x86/page_walk.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::monitor;
using asyncvm::test::put_number;

namespace {

constexpr std::uint64_t one_mib = 1 << 20;
constexpr std::uint64_t pse = 1u << 4;
constexpr std::uint64_t pae = 1u << 5;
constexpr std::uint64_t la57 = 1u << 12;
constexpr std::uint64_t lma = 1u << 10;
constexpr std::uint64_t no_execution = std::uint64_t{1} << 63;

/// 1 MiB with the top table at 0x1000.
struct Tables {
    explicit Tables(std::uint64_t cr4, std::uint64_t efer) {
        registers.cr0 = 0x8000'0001;
        registers.cr4 = cr4;
        registers.efer = efer;
        registers.cr3 = 0x1000;
    }

    void put(std::uint64_t table, unsigned index, std::uint64_t entry) {
        if ((registers.cr4 & pae) != 0) {
            put_number(memory, table + 8 * index, entry);
        } else {
            put_number(memory, table + 4 * index, static_cast<std::uint32_t>(entry));
        }
    }
    [[nodiscard]] std::string ranges(ListingLimits limits = {}) const { return ranges_text(memory, registers, limits); }
    [[nodiscard]] std::string pages(ListingLimits limits = {}) const { return pages_text(memory, registers, limits); }

    GuestMemory memory{one_mib};
    Registers registers;
};

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    return lines;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(page_text)

BOOST_AUTO_TEST_CASE(without_paging) {
    const GuestMemory memory(one_mib);
    BOOST_TEST(ranges_text(memory, {}) == "PG disabled\n");
    BOOST_TEST(pages_text(memory, {}) == "PG disabled\n");
}

BOOST_AUTO_TEST_CASE(paging_of_32_bits) {
    Tables tables(pse, 0);
    tables.put(0x1000, 0, 0x2007);
    tables.put(0x2000, 0, 0x3025);  // user, read-only, accessed
    tables.put(0x2000, 1, 0x4067);  // user, writable, dirty
    tables.put(0x2000, 2, 0x5167);  // global
    tables.put(0x2000, 3, 0x909b);  // not the user's; the memory type's bit is no large page
    tables.put(0x1000, 1, 0x0080'00e3);
    tables.put(0x1000, 1023, 0x2005);  // the same table, read-only
    BOOST_TEST(tables.pages() ==
               "0000000000000000: 0000000000003000 ----A--U-\n"
               "0000000000001000: 0000000000004000 ---DA--UW\n"
               "0000000000002000: 0000000000005000 -G-DA--UW\n"
               "0000000000003000: 0000000000009000 -----CT-W\n"
               "0000000000400000: 0000000000800000 --PDA---W\n"
               "00000000ffc00000: 0000000000003000 ----A--U-\n"
               "00000000ffc01000: 0000000000004000 ---DA--UW\n"
               "00000000ffc02000: 0000000000005000 -G-DA--UW\n"
               "00000000ffc03000: 0000000000009000 -----CT-W\n");
    BOOST_TEST(tables.ranges() ==
               "0000000000000000-0000000000001000 0000000000001000 ur-\n"
               "0000000000001000-0000000000003000 0000000000002000 urw\n"
               "0000000000003000-0000000000004000 0000000000001000 -rw\n"
               "0000000000400000-0000000000800000 0000000000400000 -rw\n"
               "00000000ffc00000-00000000ffc03000 0000000000003000 ur-\n"
               "00000000ffc03000-00000000ffc04000 0000000000001000 -r-\n");
}

BOOST_AUTO_TEST_CASE(the_last_page_of_32_bits_ends_behind_them) {
    Tables tables(pse, 0);
    tables.put(0x1000, 1023, 0x0083);
    BOOST_TEST(tables.ranges() == "00000000ffc00000-0000000100000000 0000000000400000 -rw\n");
}

BOOST_AUTO_TEST_CASE(a_large_page_of_32_bits_needs_cr4) {
    Tables tables(0, 0);
    tables.put(0x1000, 1, 0x2083);
    tables.put(0x2000, 5, 0x7003);
    BOOST_TEST(tables.pages() == "0000000000405000: 0000000000007000 --------W\n");
}

BOOST_AUTO_TEST_CASE(paging_with_pae) {
    Tables tables(pae, 0);
    tables.put(0x1000, 3, 0x2001);  // entries of this level have no rights
    tables.put(0x2000, 511, 0x3007);
    tables.put(0x2000, 510, 0x0020'00e7);
    tables.put(0x3000, 511, 0x4003 | no_execution);
    BOOST_TEST(tables.pages() ==
               "00000000ffc00000: 0000000000200000 --PDA--UW\n"
               "00000000fffff000: 0000000000004000 X-------W\n");
    BOOST_TEST(tables.ranges() ==
               "00000000ffc00000-00000000ffe00000 0000000000200000 urw\n"
               "00000000fffff000-0000000100000000 0000000000001000 -rw\n");
}

BOOST_AUTO_TEST_CASE(four_levels) {
    Tables tables(pae, lma);
    tables.put(0x1000, 0, 0x2007);
    tables.put(0x2000, 1, 0x4000'00e7);  // 1 GiB
    tables.put(0x2000, 2, 0x3005);       // read-only what is below
    tables.put(0x3000, 0, 0x0040'00e7);  // 2 MiB, right behind
    tables.put(0x3000, 1, 0x4007);
    tables.put(0x4000, 0, 0x5007);
    tables.put(0x1000, 511, 0x6003);
    tables.put(0x6000, 511, 0x7003);
    tables.put(0x7000, 511, 0x8003);
    tables.put(0x8000, 511, 0x9123 | no_execution);
    BOOST_TEST(tables.pages() ==
               "0000000040000000: 0000000040000000 --PDA--UW\n"
               "0000000080000000: 0000000000400000 --PDA--UW\n"
               "0000000080200000: 0000000000005000 -------UW\n"
               "fffffffffffff000: 0000000000009000 XG--A---W\n");
    // QEMU says 0001000000000000 for the end of the last one.
    BOOST_TEST(tables.ranges() ==
               "0000000040000000-0000000080000000 0000000040000000 urw\n"
               "0000000080000000-0000000080201000 0000000000201000 ur-\n"
               "fffffffffffff000-10000000000000000 0000000000001000 -rw\n");
}

BOOST_AUTO_TEST_CASE(five_levels) {
    Tables tables(pae | la57, lma);
    tables.put(0x1000, 256, 0x2003);
    tables.put(0x2000, 0, 0x3003);
    tables.put(0x3000, 3, 0x8000'00a3);
    BOOST_TEST(tables.pages() == "ff000000c0000000: 0000000080000000 --P-A---W\n");
    BOOST_TEST(tables.ranges() == "ff000000c0000000-ff00000100000000 0000000040000000 -rw\n");
}

BOOST_AUTO_TEST_CASE(the_two_halves_are_two_ranges) {
    Tables tables(pae, lma);
    for (unsigned i = 0; i < 512; ++i) {
        tables.put(0x1000, i, 0x2003);
        tables.put(0x2000, i, 0x0083);
    }
    BOOST_TEST(tables.ranges() ==
               "0000000000000000-0000800000000000 0000800000000000 -rw\n"
               "ffff800000000000-10000000000000000 0000800000000000 -rw\n");
}

BOOST_AUTO_TEST_CASE(empty_tables_and_tables_where_no_memory_is) {
    Tables tables(pae, lma);
    BOOST_TEST(tables.ranges().empty());
    BOOST_TEST(tables.pages().empty());
    tables.put(0x1000, 0, one_mib | 7);
    tables.put(0x1000, 1, 0x000f'ffff'ffff'f007);
    BOOST_TEST(tables.ranges().empty());
    tables.registers.cr3 = one_mib - 8;
    BOOST_TEST(tables.pages().empty());
}

BOOST_AUTO_TEST_CASE(tables_that_lead_back_to_themselves_come_to_an_end) {
    constexpr std::pair<std::uint64_t, std::uint64_t> kinds[] = {{pse, 0}, {pae, 0}, {pae, lma}, {pae | la57, lma}};
    for (const auto& [cr4, efer] : kinds) {
        Tables tables(cr4, efer);
        for (unsigned i = 0; i < 512; ++i) tables.put(0x1000, i, i % 2 == 0 ? 0x1007 : 0x1003);
        const auto pages = lines_of(tables.pages({.lines = 1000}));
        BOOST_TEST(pages.size() == 1001u);
        BOOST_TEST(pages.back() == "there may be more: these are the first 1000 lines");
        const auto ranges = lines_of(tables.ranges({.lines = 1000}));
        BOOST_TEST(ranges.size() == 1001u);
        BOOST_TEST(ranges.back() == "there may be more: these are the first 1000 lines");
        // As much as there may be in one answer.
        BOOST_TEST(lines_of(tables.pages()).size() == 100'001u);
    }
    // One range without an end.
    Tables tables(pae | la57, lma);
    for (unsigned i = 0; i < 512; ++i) tables.put(0x1000, i, 0x1003);
    const auto ranges = lines_of(tables.ranges());
    BOOST_TEST_REQUIRE(ranges.size() == 2u);
    BOOST_TEST(ranges[0].starts_with("0000000000000000-0000000ff"), ranges[0]);
    BOOST_TEST(ranges[1] == "there may be more: 16777216 entries of page tables have been looked at");
    // And none at all: the last level has nothing.
    for (unsigned i = 0; i < 512; ++i) tables.put(0x1000, i, i == 0 ? 0x2003 : 0x1003);
    BOOST_TEST(lines_of(tables.pages({.lines = 10, .entries = 100})).back() ==
               "there may be more: 100 entries of page tables have been looked at");
}

BOOST_AUTO_TEST_CASE(as_many_lines_as_may_be_are_all) {
    Tables tables(pse, 0);
    tables.put(0x1000, 1, 0x0083);
    tables.put(0x1000, 3, 0x0083);
    BOOST_TEST(lines_of(tables.ranges({.lines = 2})).size() == 2u);
    BOOST_TEST(lines_of(tables.pages({.lines = 2})).size() == 2u);
    BOOST_TEST(lines_of(tables.ranges({.lines = 1})).back() == "there may be more: these are the first 1 lines");
    BOOST_TEST(lines_of(tables.pages({.lines = 1})).back() == "there may be more: these are the first 1 lines");
}

BOOST_AUTO_TEST_CASE(any_tables) {
    std::mt19937_64 random(7);
    for (int round = 0; round < 300; ++round) {
        const bool wide = round % 3 != 0;
        Tables tables(wide ? pae : pse, round % 3 == 2 ? lma : 0);
        for (int i = 0; i < 100; ++i) {
            const std::uint64_t entry = ((random() % 3 == 0 ? random() : 0x1000 + random() % 7 * 0x1000) & ~0xfffULL) |
                                        (random() & 0xfff) | (random() % 8 != 0 ? 1 : 0);
            tables.put(0x1000 + random() % 6 * 0x1000, static_cast<unsigned>(random() % 512), entry);
        }
        // Each page is where the walk to its address leads, and in a range.
        std::uint64_t mapped = 0;
        const auto pages = lines_of(tables.pages({.lines = 3000, .entries = 1 << 16}));
        for (const auto& line : pages) {
            if (line.starts_with("there")) continue;
            const auto walk = translate(tables.memory, tables.registers, std::stoull(line.substr(0, 16), nullptr, 16));
            BOOST_TEST_REQUIRE((walk.status == PageWalk::Status::mapped));
            BOOST_TEST_REQUIRE(walk.physical == std::stoull(line.substr(18, 16), nullptr, 16));
            BOOST_TEST_REQUIRE((walk.level > 1) == (line[37] == 'P'));
            mapped += walk.page_size;
        }
        if (!pages.empty() && pages.back().starts_with("there")) continue;
        for (const auto& line : lines_of(tables.ranges())) mapped -= std::stoull(line.substr(line.find(' ')), nullptr, 16);
        BOOST_TEST_REQUIRE(mapped == 0u);
    }
}

BOOST_AUTO_TEST_SUITE_END()
