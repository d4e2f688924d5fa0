#include <asyncvm/sleep.hpp>

#include <boost/test/unit_test.hpp>

#include <exception>
#include <system_error>
#include <utility>

using namespace asyncvm;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

awaitable<void> note_after(awaitable<void> sleep, bool& over) {
    co_await std::move(sleep);
    over = true;
}

/// Whether `sleep` is over before what was posted right after it began.
bool is_over_at_once(awaitable<void> sleep) {
    asio::io_context loop{1};
    bool over = false;
    bool at_once = false;
    asio::co_spawn(loop, note_after(std::move(sleep), over), [](std::exception_ptr e) { BOOST_TEST(!e); });
    asio::post(loop, [&] { at_once = over; });
    loop.poll();
    return at_once;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sleeping)

BOOST_AUTO_TEST_CASE(it_lasts_until_the_time_has_come) {
    asio::io_context loop{1};
    const auto until = Clock::now() + 3ms;
    bool over = false;
    asio::co_spawn(loop, sleep_until(until), [&over](std::exception_ptr e) { over = !e; });
    loop.run();
    BOOST_TEST(over);
    BOOST_TEST((Clock::now() >= until));
}

BOOST_AUTO_TEST_CASE(a_duration_counts_from_the_call) {
    asio::io_context loop{1};
    const auto until = Clock::now() + 3ms;
    auto sleep = sleep_for(3ms);
    asio::co_spawn(loop, std::move(sleep), [](std::exception_ptr e) { BOOST_TEST(!e); });
    loop.run();
    BOOST_TEST((Clock::now() >= until));
}

BOOST_AUTO_TEST_CASE(a_time_that_has_passed_does_not_suspend) {
    BOOST_TEST(is_over_at_once(sleep_until(Clock::time_point::min())));
    BOOST_TEST(is_over_at_once(sleep_for(-1h)));
    BOOST_TEST(!is_over_at_once(sleep_for(1h)));
}

BOOST_AUTO_TEST_CASE(the_longest_duration_does_not_end_at_once) {
    asio::io_context loop{1};
    bool over = false;
    asio::co_spawn(loop, sleep_for(Clock::duration::max()), [&over](std::exception_ptr) { over = true; });
    while (loop.poll() > 0) {
    }
    BOOST_TEST(!over);
}

BOOST_AUTO_TEST_CASE(it_can_be_cancelled) {
    asio::io_context loop{1};
    asio::cancellation_signal cancel;
    std::exception_ptr failure;
    asio::co_spawn(loop, sleep_for(24h),
                   asio::bind_cancellation_slot(cancel.slot(), [&failure](std::exception_ptr e) { failure = e; }));
    loop.poll();
    BOOST_TEST(!failure);
    cancel.emit(asio::cancellation_type::terminal);
    loop.run();
    BOOST_REQUIRE(failure);
    BOOST_CHECK_EXCEPTION(std::rethrow_exception(failure), std::system_error,
                          [](const auto& e) { return e.code() == asio::error::operation_aborted; });
}

BOOST_AUTO_TEST_SUITE_END()
