// How often the device loop looks for posted writes.
#include <machine/ring_pace.hpp>

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

constexpr RingPace::Clock::time_point start{1h};

}  // namespace

BOOST_AUTO_TEST_SUITE(ring_pace)

BOOST_AUTO_TEST_CASE(a_loop_that_delivers_alone_looks_each_millisecond) {
    RingPace pace;
    pace.restart(start);
    for (unsigned look = 0; look < 100; ++look) {
        pace.looked(true, look, look + 1, start + look * 1ms);
        BOOST_TEST((pace.pause() == 1ms));
    }
}

BOOST_AUTO_TEST_CASE(it_looks_more_seldom_while_the_guest_delivers_with_its_exits) {
    RingPace pace;
    pace.restart(start);
    pace.looked(false, 1, 1, start);
    BOOST_TEST((pace.pause() == 2ms));
    pace.looked(true, 2, 3, start + 2ms);
    BOOST_TEST((pace.pause() == 4ms));
    for (unsigned look = 4; look < 10; ++look) pace.looked(true, look, look, start + look * 8ms);
    BOOST_TEST((pace.pause() == 8ms));
    pace.looked(false, 9, 9, start + 80ms);
    BOOST_TEST((pace.pause() == 8ms));
    pace.looked(true, 9, 10, start + 88ms);
    BOOST_TEST((pace.pause() == 1ms));
}

BOOST_AUTO_TEST_CASE(a_guest_that_writes_nothing_changes_nothing_but_is_idle_after_100_ms) {
    RingPace pace;
    pace.restart(start);
    pace.looked(false, 0, 0, start + 100ms);
    BOOST_TEST((pace.pause() == 1ms));
    BOOST_TEST(!pace.idle());
    pace.looked(false, 0, 0, start + 101ms);
    BOOST_TEST(pace.idle());
    pace.restart(start + 200ms);
    BOOST_TEST(!pace.idle());
    pace.looked(false, 1, 1, start + 300ms);
    pace.looked(false, 1, 1, start + 400ms);
    BOOST_TEST(!pace.idle());
}

BOOST_AUTO_TEST_SUITE_END()
