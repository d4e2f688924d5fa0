#include "stats/places.hpp"

#include <boost/test/unit_test.hpp>

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

BOOST_AUTO_TEST_SUITE_END()
