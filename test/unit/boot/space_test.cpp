#include "boot/space.hpp"

#include "throws.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::boot;
using asyncvm::test::contains;
using asyncvm::test::message_of;

namespace {

const std::vector<MemoryRange> two_rams{
    {0, 0xa0000, MemoryKind::ram},
    {0xa0000, 0x60000, MemoryKind::reserved},
    {0x100000, 0x100000, MemoryKind::ram},
    {0x200000, 0x100000, MemoryKind::ram},
};

std::string take_error(Space& space, std::uint64_t address, std::uint64_t size) {
    return message_of(ErrorKind::guest_image, [&] { space.take("kernel", address, size); });
}

}  // namespace

BOOST_AUTO_TEST_CASE(what_overlaps_or_is_not_ram_is_refused_by_name) {
    Space space(two_rams, std::vector<Piece>{{.name = "ACPI tables", .address = 0xe0000, .size = 0x1000}});
    space.take("initrd", 0x1ff000, 0x2000);  // across two ranges that are neighbours
    BOOST_TEST(contains(take_error(space, 0x200fff, 1), "kernel needs the 1 bytes from 0x200fff on, where initrd is"));
    BOOST_TEST(contains(take_error(space, 0x9ffff, 2), "not all RAM"));
    BOOST_TEST(contains(take_error(space, 0xe0000, 1), "not all RAM"));
    BOOST_TEST(contains(take_error(space, 0x2fffff, 2), "not all RAM"));
    BOOST_TEST(contains(take_error(space, 0x100000, ~std::uint64_t{0}), "not all RAM"));
    space.take("nothing", 0xffff'0000, 0);
    space.take("kernel", 0x201000, 0xff000);
    BOOST_TEST(space.occupant(0x2fffff, 1) == "kernel");
    BOOST_TEST(space.occupant(0x1fefff, 1).empty());
    BOOST_TEST(space.occupant(0xe0fff, 1) == "ACPI tables");
}

BOOST_AUTO_TEST_CASE(a_place_is_the_lowest_or_the_highest_that_is_free) {
    Space space(two_rams, {});
    BOOST_TEST(space.find({.size = 0x1000}).value() == 0x1000u);
    BOOST_TEST(space.find({.size = 0x1000, .from_top = true}).value() == 0x2ff000u);
    BOOST_TEST(space.find({.size = 0x1000, .last = 0xfffff, .from_top = true}).value() == 0x9f000u);
    BOOST_TEST(space.find({.size = 0x200000, .lowest = 0}).value() == 0x100000u);
    BOOST_TEST(!space.find({.size = 0x200001, .alignment = 1, .lowest = 0}));
    space.take("kernel", 0x100000, 0x180000);
    BOOST_TEST(space.find({.size = 0xa0000, .alignment = 1, .lowest = 0}).value() == 0u);
    BOOST_TEST(space.find({.size = 0xa0001, .alignment = 1, .lowest = 0}).has_value() == false);
    BOOST_TEST(space.place("initrd", {.size = 0x1234, .from_top = true}) == 0x2fe000u);
    BOOST_TEST(space.place("second", {.size = 1, .alignment = 1, .from_top = true}) == 0x2fffffu);
    BOOST_TEST(
        contains(message_of(ErrorKind::guest_image, [&] { static_cast<void>(space.place("initrd", {.size = 0x200000})); }),
                 "there is no room for initrd, which needs 2097152 bytes"));
}

BOOST_AUTO_TEST_CASE(places_are_free_aligned_and_in_bounds_whatever_is_taken) {
    std::mt19937_64 random(7);
    for (int round = 0; round < 300; ++round) {
        Space space(two_rams, {});
        std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;
        for (int step = 0; step < 40; ++step) {
            const Space::Wish wish{.size = 1 + random() % 0x18000,
                                   .alignment = std::uint64_t{1} << random() % 16,
                                   .lowest = random() % 0x180000,
                                   .last = 0x80000 + random() % 0x300000,
                                   .from_top = random() % 2 == 0};
            const auto at = space.find(wish);
            if (!at) continue;
            BOOST_TEST_REQUIRE(*at % wish.alignment == 0u);
            BOOST_TEST_REQUIRE(*at >= wish.lowest);
            BOOST_TEST_REQUIRE(*at + wish.size - 1 <= wish.last);
            for (const auto& [first, size] : taken) BOOST_TEST_REQUIRE((*at >= first + size || first >= *at + wish.size));
            space.take("piece", *at, wish.size);
            taken.emplace_back(*at, wish.size);
        }
    }
}
