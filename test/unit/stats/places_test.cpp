#include "stats/places.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <memory>
#include <string>

using namespace asyncvm;
using namespace asyncvm::stats;

BOOST_AUTO_TEST_SUITE(places)

const Places some({{{.first = 0x10, .size = 1}, "counter"}, {{.first = 0x3f8, .size = 8}, "uart"}},
                  {{{.first = 0xd000'0000, .size = 0x1000}, "disk"}, {{.first = ~std::uint64_t{0}, .size = 1}, "edge"}});

std::string device_at(Space space, std::uint64_t address) { return some[some.find(space, address)].device; }

BOOST_AUTO_TEST_CASE(an_address_has_the_device_whose_range_it_is_in) {
    BOOST_TEST(device_at(Space::port, 0x10) == "counter");
    BOOST_TEST(device_at(Space::port, 0x3f8) == "uart");
    BOOST_TEST(device_at(Space::port, 0x3ff) == "uart");
    BOOST_TEST(device_at(Space::memory, 0xd000'0fff) == "disk");
    BOOST_TEST(device_at(Space::memory, ~std::uint64_t{0}) == "edge");
}

BOOST_AUTO_TEST_CASE(all_other_addresses_of_a_space_are_one_place) {
    for (const std::uint64_t port : {0x0, 0xf, 0x11, 0x3f7, 0x400, 0xffff}) {
        BOOST_TEST(some.find(Space::port, port) == some.find(Space::port, 0));
        BOOST_TEST(device_at(Space::port, port) == "");
    }
    BOOST_TEST(device_at(Space::memory, 0xd000'1000) == "");
    BOOST_TEST(some.find(Space::memory, 0x10) != some.find(Space::port, 0x11));
    BOOST_TEST((some[some.find(Space::memory, 0x10)].space == Space::memory));
}

BOOST_AUTO_TEST_CASE(a_machine_without_devices_has_two_places) {
    const Places none({}, {});
    BOOST_TEST(none.size() == 2U);
    BOOST_TEST(none.find(Space::port, 0x80) == 0U);
    BOOST_TEST(none.find(Space::memory, 0x80) == 1U);
}

BOOST_AUTO_TEST_CASE(an_address_has_the_device_whose_range_has_been_moved_there) {
    Places places({}, {{{.first = 0x4010, .size = 0x10}, "standing"}});
    const auto card = std::make_shared<MovingPlace>();
    const auto disk = std::make_shared<MovingPlace>();
    const auto ports = std::make_shared<MovingPlace>();
    places.add(Space::memory, card, 0x100, "card");
    places.add(Space::memory, disk, 0x100, "disk");
    places.add(Space::port, ports, 0x100, "ports");
    const auto device = [&places](std::uint64_t address) { return places[places.find(Space::memory, address)].device; };
    BOOST_TEST(places.size() == 6U);
    for (const std::uint64_t address : {0x0ull, 0x4000ull, 0x8000'0000'0000'0000ull, ~0ull})
        BOOST_TEST(device(address) == "");
    ports->arrive(0x3000);
    card->arrive(0x4000);
    disk->arrive(0x40c0);
    BOOST_TEST(device(0x4000) == "card");
    BOOST_TEST(device(0x4010) == "standing");
    BOOST_TEST(device(0x4020) == "card");
    BOOST_TEST(device(0x40ff) == "card");
    BOOST_TEST(device(0x4100) == "disk");
    BOOST_TEST(device(0x41c0) == "");
    BOOST_TEST(device(0x3000) == "");
    BOOST_TEST(places[places.find(Space::port, 0x3000)].device == "ports");
    card->leave();
    BOOST_TEST(device(0x4020) == "");
    BOOST_TEST(device(0x40ff) == "disk");
    BOOST_TEST(places[places.find(Space::port, 0x4000)].device == "");
}

BOOST_AUTO_TEST_CASE(a_range_that_moves_is_shown_where_it_is_or_was_last) {
    Places places({}, {});
    const auto card = std::make_shared<MovingPlace>();
    places.add(Space::memory, card, 0x100, "card");
    const auto shown = [&places] { return places[1].range(); };
    BOOST_TEST(shown().size == 0U);
    card->leave();
    BOOST_TEST(shown().size == 0U);
    card->arrive(0);
    BOOST_TEST(shown().size == 0x100U);
    card->arrive(0x4000);
    BOOST_TEST(shown().first == 0x4000U);
    card->leave();
    BOOST_TEST(shown().first == 0x4000U);
    BOOST_TEST(shown().size == 0x100U);
    BOOST_TEST(!card->now());
}

BOOST_AUTO_TEST_SUITE_END()
