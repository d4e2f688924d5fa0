// When a chardev waits for more output before it sends, and when it doesn't.
#define BOOST_TEST_MODULE chardev_output_burst
#include <chardev/output_burst.hpp>

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace std::chrono_literals;

BOOST_TEST_DONT_PRINT_LOG_VALUE(std::chrono::nanoseconds)

namespace {

constexpr OutputBurst::Time start{1h};
constexpr OutputBurst::Duration none{};

/// A guest that prints a byte each `step`, until `count` have been sent; the client says nothing. Returns the last pause.
OutputBurst::Duration print(OutputBurst& burst, std::uint64_t count, OutputBurst::Duration step) {
    OutputBurst::Duration pause{};
    for (std::uint64_t byte = 1; byte <= count; ++byte) pause = burst.pause(byte, 0, start + byte * step);
    return pause;
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_answer_of_a_byte_waits_for_nothing_however_many_there_are) {
    OutputBurst burst;
    for (unsigned byte = 1; byte <= 1000; ++byte) BOOST_TEST(burst.pause(byte, byte, start + byte * 100us) == none);
}

BOOST_AUTO_TEST_CASE(a_line_is_a_burst_from_its_32nd_byte_on_until_a_pause_has_passed_without_one) {
    OutputBurst burst;
    BOOST_TEST(burst.pause(31, 0, start) == none);
    BOOST_TEST(burst.pause(32, 0, start + 1us) == 1ms);
    BOOST_TEST(burst.pause(40, 0, start + 1ms) == 1ms);
    BOOST_TEST(burst.pause(40, 0, start + 2ms) == none);
    BOOST_TEST(burst.pause(41, 0, start + 3ms) == none);
    BOOST_TEST(burst.pause(71, 0, start + 4ms) == none);
    BOOST_TEST(burst.pause(72, 0, start + 5ms) == 1ms);
}

BOOST_AUTO_TEST_CASE(a_slow_host_prints_in_bursts_too) {
    OutputBurst burst;
    BOOST_TEST(print(burst, 31, 1ms) == none);
    BOOST_TEST(burst.pause(32, 0, start + 32ms) > none);
}

BOOST_AUTO_TEST_CASE(dots_of_a_progress_bar_are_sent_one_by_one) {
    OutputBurst burst;
    BOOST_TEST(print(burst, 100, 5ms) == none);
}

BOOST_AUTO_TEST_CASE(a_pause_is_a_quarter_of_the_burst_and_never_longer_than_10_ms) {
    OutputBurst burst;
    std::uint64_t position = 0;
    BOOST_TEST(burst.pause(position += 100, 0, start) == 1ms);
    BOOST_TEST(burst.pause(position += 100, 0, start + 4ms) == 1ms);
    BOOST_TEST(burst.pause(position += 100, 0, start + 20ms) == 5ms);
    BOOST_TEST(burst.pause(position += 100, 0, start + 40ms) == 10ms);
    BOOST_TEST(burst.pause(position += 100, 0, start + 1h) == 10ms);
    BOOST_TEST(burst.pause(position, 0, start + 1h + 10ms) == none);
}

BOOST_AUTO_TEST_CASE(a_client_that_says_something_is_answered_at_once) {
    OutputBurst burst;
    BOOST_TEST(burst.pause(1000, 0, start) == 1ms);
    BOOST_TEST(burst.pause(2000, 0, start + 1s) == 10ms);
    BOOST_TEST(burst.pause(2010, 1, start + 1s) == none);
    BOOST_TEST(burst.pause(2100, 1, start + 1s) == 1ms);
}

BOOST_AUTO_TEST_CASE(nothing_waits_where_much_comes_at_a_time) {
    OutputBurst burst;
    BOOST_TEST(burst.pause(100, 0, start) == 1ms);
    BOOST_TEST(burst.pause(100 + OutputBurst::bulk, 0, start + 1ms) == none);
}

BOOST_AUTO_TEST_CASE(output_that_is_sent_again_to_a_new_client_is_a_burst_too) {
    OutputBurst burst;
    BOOST_TEST(burst.pause(1000, 0, start) == 1ms);
    BOOST_TEST(burst.pause(10, 0, start + 5ms) == none);  // all of it at once
    BOOST_TEST(burst.pause(40, 0, start + 5ms) > none);
}
