#define BOOST_TEST_MODULE coalesced_zones
#include "bus/coalesced_zones.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {
constexpr auto limit = BurstDetector::length * 250us;
}

BOOST_AUTO_TEST_CASE(writes_that_come_within_the_limit_are_a_burst) {
    BurstDetector burst;
    BurstDetector::Clock::time_point now(1h);
    BOOST_TEST(!burst.step(250us, now));  // since when these came is not known
    BOOST_TEST(burst.step(250us, now += limit));
    BOOST_TEST(burst.step(250us, now += 1us));
    BOOST_TEST(!burst.step(250us, now += limit + 1ns));
    BOOST_TEST(burst.step(250us, now += 1us));
}

BOOST_AUTO_TEST_CASE(the_clock_is_looked_at_once_for_each_length) {
    BurstDetector burst;
    unsigned bursts = 0;
    for (unsigned i = 1; i < 2 * BurstDetector::length; ++i) bursts += burst.step(1h) ? 1 : 0;
    BOOST_TEST(bursts == 0U);
    BOOST_TEST(burst.step(1h));
}

BOOST_AUTO_TEST_CASE(a_zone_covers_what_lies_inside_as_a_whole_in_its_space) {
    CoalescedZones zones;
    zones.add({Space::port, 0x100, 4});
    BOOST_TEST(zones.covers({Space::port, 0x100, 4}));
    BOOST_TEST(zones.covers({Space::port, 0x103, 1}));
    BOOST_TEST(!zones.covers({Space::port, 0x103, 2}));
    BOOST_TEST(!zones.covers({Space::port, 0xff, 1}));
    BOOST_TEST(!zones.covers({Space::port, 0x104, 1}));
    BOOST_TEST(!zones.covers({Space::memory, 0x100, 1}));
    zones.remove({Space::port, 0x100, 4});
    BOOST_TEST(zones.all().empty());
}

BOOST_AUTO_TEST_CASE(the_zones_inside_a_wider_one_are_those_that_it_replaces) {
    CoalescedZones zones;
    for (const std::uint64_t address : {0xff, 0x100, 0x103, 0x104}) zones.add({Space::port, address, 1});
    zones.add({Space::port, 0x103, 2});
    const std::vector<CoalescedZone> inside{{Space::port, 0x100, 1}, {Space::port, 0x103, 1}};
    BOOST_TEST((zones.inside({Space::port, 0x100, 4}) == inside));
}
