// The clock that stands while a machine is paused, and the gate that is closed then.
#define BOOST_TEST_MODULE clock
#include "machine/clock.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <optional>
#include <system_error>
#include <utility>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

struct Fixture {
    asio::io_context loop{1};
    PausableClock clock;
    Event event;
    asio::cancellation_signal cancel;
    bool ended = false;
    std::exception_ptr failure;

    void start(awaitable<void> work) {
        ended = false;
        asio::co_spawn(loop, std::move(work), asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e) {
                           failure = std::move(e);
                           ended = true;
                       }));
        poll();
    }
    void poll() {
        loop.restart();
        loop.poll();
    }
    void finish() {
        loop.restart();
        loop.run_for(60s);
        BOOST_TEST(ended);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pausable_clock, Fixture)

BOOST_AUTO_TEST_CASE(it_stands_and_goes_on_where_it_stood) {
    const auto before = clock.now();
    clock.stand();
    const auto stood = clock.now();
    clock.stand();
    BOOST_CHECK(stood >= before);
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() < begin + 2ms) BOOST_REQUIRE(clock.now() == stood);
    clock.go_on();
    clock.go_on();
    // Behind the host's clock by what it stood.
    BOOST_CHECK(std::chrono::steady_clock::now() - clock.now() >= 2ms);
    BOOST_CHECK(clock.now() >= stood);
}

BOOST_AUTO_TEST_CASE(times_at_both_ends_of_the_scale_work) {
    start(clock.wait_until(MachineClock::time_point::min()));
    BOOST_TEST(ended);
    start(clock.wait(event, event.generation(), MachineClock::time_point::min()));
    BOOST_TEST(ended);
    for (const auto last : {MachineClock::time_point::max(), MachineClock::time_point::max() - 1ns}) {
        start(clock.wait_until(last));
        BOOST_TEST(!ended);
        cancel.emit(asio::cancellation_type::terminal);
        finish();
        BOOST_REQUIRE(failure);
        BOOST_CHECK_THROW(std::rethrow_exception(failure), std::system_error);
    }
}

BOOST_AUTO_TEST_CASE(a_wait_goes_on_with_the_clock) {
    clock.stand();
    const auto time = clock.now() + 1ms;
    start(clock.wait_until(time));
    loop.restart();
    loop.run_for(5ms);
    BOOST_TEST(!ended);
    clock.go_on();
    finish();
    BOOST_CHECK(clock.now() >= time);
}

BOOST_AUTO_TEST_CASE(a_wait_for_an_event_sees_it_also_while_the_clock_stands) {
    clock.stand();
    start(clock.wait(event, event.generation(), clock.now() + 1ns));
    BOOST_TEST(!ended);
    event.notify();
    finish();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(pause_gate, Fixture)

BOOST_AUTO_TEST_CASE(it_holds_work_up_while_it_is_closed) {
    const auto gate = std::make_shared<PauseGate>();
    start(PauseGate::passed(gate));
    BOOST_TEST(ended);
    gate->close();
    start(PauseGate::passed(gate));
    BOOST_TEST(!ended);
    gate->open();
    finish();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(random_bytes_fill_the_whole_buffer) {
    std::array<std::byte, 4096> bytes{};
    make_host_random()->fill(bytes);
    BOOST_TEST(std::ranges::count(std::span(bytes).last(64), std::byte{}) < 16);
}
