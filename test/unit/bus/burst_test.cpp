#define BOOST_TEST_MODULE burst
#include "bus/burst.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace std::chrono_literals;

BOOST_AUTO_TEST_CASE(writes_that_come_within_the_limit_are_a_burst) {
    Burst burst;
    Burst::Clock::time_point now(1h);
    BOOST_TEST(!burst.step(now));  // since when these came is not known
    BOOST_TEST(burst.step(now += Burst::limit));
    BOOST_TEST(burst.step(now += 1us));
    BOOST_TEST(!burst.step(now += Burst::limit + 1ns));
    BOOST_TEST(burst.step(now += 1us));
}

BOOST_AUTO_TEST_CASE(the_clock_is_looked_at_once_for_each_length) {
    Burst burst;
    unsigned bursts = 0;
    for (unsigned i = 1; i < 2 * Burst::length; ++i) bursts += burst.step() ? 1 : 0;
    BOOST_TEST(bursts == 0U);
    BOOST_TEST(burst.step());
}
