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
