// When a chardev waits for more output before it sends, and when it doesn't.
#define BOOST_TEST_MODULE chardev_output_burst
#include <chardev/output_burst.hpp>

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

constexpr OutputBurst::Time start{1h};

}  // namespace

BOOST_AUTO_TEST_CASE(an_answer_of_a_byte_waits_for_nothing_however_many_there_are) {
    OutputBurst burst;
    for (unsigned byte = 1; byte <= 1000; ++byte) BOOST_TEST(!burst.lasts(byte, start + byte * 100us));
}

BOOST_AUTO_TEST_CASE(a_line_is_a_burst_from_its_32nd_byte_on_until_a_pause_has_passed_without_one) {
    OutputBurst burst;
    BOOST_TEST(!burst.lasts(31, start));
    BOOST_TEST(burst.lasts(32, start + 1us));
    BOOST_TEST(burst.lasts(40, start + 900us));
    BOOST_TEST(!burst.lasts(40, start + 2ms));
    BOOST_TEST(!burst.lasts(40, start + 4ms));
}

BOOST_AUTO_TEST_CASE(a_guest_that_prints_on_is_sent_a_pause_at_a_time) {
    OutputBurst burst;
    std::uint64_t position = 0;
    BOOST_TEST(burst.lasts(position += 100, start));
    for (int turn = 1; turn <= 100; ++turn) BOOST_TEST(burst.lasts(position += 100, start + turn * 1ms));
    BOOST_TEST(!burst.lasts(position, start + 101ms));
}

BOOST_AUTO_TEST_CASE(output_that_is_sent_again_to_a_new_client_is_a_burst_too) {
    OutputBurst burst;
    BOOST_TEST(burst.lasts(1000, start));
    BOOST_TEST(burst.lasts(10, start + 5ms));
}
