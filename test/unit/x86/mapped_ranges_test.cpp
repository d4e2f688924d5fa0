// All that one_page tables map, against the walk to one address.
#define BOOST_TEST_MODULE x86
#include "x86/mapped_ranges.hpp"

#include "../report/bytes.hpp"
#include "x86/page_walk.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace asyncvm;
using asyncvm::test::put_number;

namespace {

constexpr std::uint64_t one_mib = 1 << 20;
constexpr std::uint64_t one_page = 4096;

Registers with_paging(std::uint64_t cr4, std::uint64_t efer) {
    Registers registers;
    registers.cr0 = 0x8000'0001;
    registers.cr4 = cr4;
    registers.efer = efer;
    registers.cr3 = 0x1000;
    return registers;
}

constexpr std::uint64_t with_pse = 1u << 4;
constexpr std::uint64_t with_pae = 1u << 5;
constexpr std::uint64_t with_la57 = 1u << 12;
constexpr std::uint64_t with_lma = 1u << 10;

}  // namespace

BOOST_AUTO_TEST_SUITE(mapped)

BOOST_AUTO_TEST_CASE(without_paging_there_is_nothing) {
    const GuestMemory memory(one_mib);
    BOOST_TEST(mapped_ranges(memory, {}, 10).all.empty());
}

BOOST_AUTO_TEST_CASE(neighbours_are_one_range_and_upper_addresses_have_their_sign) {
    GuestMemory memory(one_mib);
    const auto entry = [&](std::uint64_t table, unsigned index, std::uint64_t value) {
        put_number(memory, table + 8 * index, value);
    };
    entry(0x1000, 256, 0x2001);
    entry(0x2000, 0, 0x3001);
    entry(0x3000, 0, 0x4001);
    entry(0x3000, 1, 0x20'0081);  // 2 MiB, right behind the 512 pages
    for (unsigned i = 0; i < 512; ++i) entry(0x4000, i, (i * one_page) | 1);
    entry(0x4000, 7, 0);
    const auto found = mapped_ranges(memory, with_paging(with_pae, with_lma), 10);
    BOOST_TEST(!found.cut);
    BOOST_TEST_REQUIRE(found.all.size() == 2u);
    BOOST_TEST(found.all[0].linear == 0xffff'8000'0000'0000);
    BOOST_TEST(found.all[0].physical == 0u);
    BOOST_TEST(found.all[0].size == 7 * one_page);
    BOOST_TEST(found.all[1].linear == 0xffff'8000'0000'8000);
    BOOST_TEST(found.all[1].physical == 8 * one_page);
    BOOST_TEST(found.all[1].size == 4 * one_mib - 8 * one_page);
}

BOOST_AUTO_TEST_CASE(tables_that_lead_back_to_themselves_come_to_an_end) {
    GuestMemory memory(one_mib);
    for (unsigned i = 0; i < 512; ++i) put_number(memory, 0x1000 + 8 * i, std::uint64_t{0x1001});
    const auto few = mapped_ranges(memory, with_paging(with_pae, with_lma), 10);
    BOOST_TEST(few.cut);
    BOOST_TEST(few.all.size() == 10u);
    BOOST_TEST(mapped_ranges(memory, with_paging(with_pae, with_lma), 1'000'000, 5000).cut);
}

BOOST_AUTO_TEST_CASE(a_table_at_the_end_of_memory_is_not_read_beyond_it) {
    GuestMemory memory(one_mib);
    Registers registers = with_paging(0, 0);
    registers.cr3 = one_mib - one_page;
    put_number(memory, one_mib - one_page, std::uint32_t{0x3001});
    put_number(memory, 0x3000 + 4 * 5, std::uint32_t{0x7001});
    const auto found = mapped_ranges(memory, registers, 10);
    BOOST_TEST_REQUIRE(found.all.size() == 1u);
    BOOST_TEST(found.all[0].linear == 5 * one_page);
    registers.cr3 = one_mib;
    BOOST_TEST(mapped_ranges(memory, registers, 10).all.empty());
}

BOOST_AUTO_TEST_CASE(random_tables_agree_with_the_walk_to_each_address) {
    std::mt19937_64 random(1);
    struct Kind {
        std::uint64_t cr4, efer;
        unsigned size;
    };
    const Kind kinds[] = {
        {0, 0, 4}, {with_pse, 0, 4}, {with_pae, 0, 8}, {with_pae, with_lma, 8}, {with_pae | with_la57, with_lma, 8}};
    for (int round = 0; round < 200; ++round) {
        const Kind& kind = kinds[round % std::size(kinds)];
        GuestMemory memory(one_mib);
        for (int i = 0; i < 200; ++i) {
            const std::uint64_t table = 0x1000 + random() % 6 * one_page;
            const std::uint64_t place = table + random() % (round % 2 == 0 ? 4 : one_page / kind.size) * kind.size;
            // Most lead to another table or to a page of low memory.
            std::uint64_t entry = random() % 3 == 0 ? random() : 0x1000 + random() % 7 * one_page;
            entry = (entry & ~0xfffULL) | (random() % 8 != 0 ? 1 : 0) | (random() % 4 == 0 ? 0x80 : 0);
            if (kind.size == 4) {
                put_number(memory, place, static_cast<std::uint32_t>(entry));
            } else {
                put_number(memory, place, entry);
            }
        }
        const Registers registers = with_paging(kind.cr4, kind.efer);
        const auto found = mapped_ranges(memory, registers, 2000, 1 << 16);
        std::uint64_t end = 0;
        for (const auto& range : found.all) {
            BOOST_TEST_REQUIRE(range.size != 0u);
            BOOST_TEST_REQUIRE(range.linear >= end);
            end = range.linear + (range.size - 1);
            for (const std::uint64_t offset : {std::uint64_t{0}, random() % range.size, range.size - 1}) {
                const auto walk = translate(memory, registers, range.linear + offset);
                BOOST_TEST_REQUIRE((walk.status == PageWalk::Status::mapped));
                BOOST_TEST_REQUIRE(walk.physical == range.physical + offset);
            }
        }
        if (found.cut) continue;
        for (int i = 0; i < 200; ++i) {
            std::uint64_t linear = random() >> (random() % 64);
            if (kind.efer == 0) linear &= 0xffff'ffff;
            const auto walk = translate(memory, registers, linear);
            bool is_in = false;
            for (const auto& range : found.all) is_in = is_in || linear - range.linear < range.size;
            BOOST_TEST_REQUIRE(is_in == (walk.status == PageWalk::Status::mapped));
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()
