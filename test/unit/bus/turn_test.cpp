#define BOOST_TEST_MODULE turn
#include "bus/turn.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

using namespace asyncvm;

namespace {

/// One who wants the turn, with an io_context that runs when the test says so: until then it sleeps.
struct Taker {
    explicit Taker(Turn& turn) {
        asio::co_spawn(context, turn.take(), asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr failure) {
                           (failure ? cancelled : has) = true;
                       }));
        poll();
    }
    void poll() {
        context.restart();
        context.poll();
    }

    asio::io_context context{1};
    asio::cancellation_signal cancel;
    bool has = false;
    bool cancelled = false;
};

awaitable<void> count_up(Turn& turn, unsigned& counter, unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
        const bool taken = turn.try_take();
        if (!taken) co_await turn.take();
        const HeldTurn held(turn);
        ++counter;
    }
}

awaitable<void> take_and_give(Turn& turn, unsigned& counter) {
    co_await turn.take();
    const HeldTurn held(turn);
    ++counter;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_turn_is_one_s_at_a_time) {
    Turn turn;
    BOOST_TEST(turn.try_take());
    BOOST_TEST(!turn.try_take());
    BOOST_TEST(!turn.try_take_soon());
    turn.give();
    BOOST_TEST(turn.try_take_soon());
}

BOOST_AUTO_TEST_CASE(who_waits_gets_it) {
    Turn turn;
    BOOST_TEST(turn.try_take());
    Taker first(turn);
    Taker second(turn);
    BOOST_TEST(!first.has);
    turn.give();
    first.poll();
    second.poll();
    BOOST_TEST(first.has);
    BOOST_TEST(!second.has);
    turn.give();
    second.poll();
    BOOST_TEST(second.has);
    turn.give();
    BOOST_TEST(turn.try_take());
}

BOOST_AUTO_TEST_CASE(who_runs_may_come_before_one_that_is_still_to_wake_up_but_not_for_ever) {
    Turn turn;
    BOOST_TEST(turn.try_take());
    Taker sleeper(turn);
    Taker behind(turn);
    for (int i = 0; i < 3; ++i) {
        turn.give();
        BOOST_TEST(turn.try_take());  // it is on its way
        sleeper.poll();
        BOOST_TEST(!sleeper.has);
    }
    turn.give();
    BOOST_TEST(!turn.try_take());  // this time it was handed over
    sleeper.poll();
    BOOST_TEST(sleeper.has);
    turn.give();
    behind.poll();
    BOOST_TEST(behind.has);
}

BOOST_AUTO_TEST_CASE(who_is_cancelled_is_passed_over) {
    Turn turn;
    BOOST_TEST(turn.try_take());
    Taker first(turn);
    Taker second(turn);
    first.cancel.emit(asio::cancellation_type::terminal);
    turn.give();
    first.poll();
    second.poll();
    BOOST_TEST(first.cancelled);
    BOOST_TEST(second.has);
    turn.give();
    BOOST_TEST(turn.try_take());
}

BOOST_AUTO_TEST_CASE(who_is_cancelled_on_its_way_wakes_the_next) {
    // Once while the turn is free, once while somebody else has it, once when it was handed over.
    for (const int vain : {0, 1, 3}) {
        Turn turn;
        BOOST_TEST(turn.try_take());
        Taker first(turn);
        Taker second(turn);
        for (int i = 0; i < vain; ++i) {
            turn.give();
            BOOST_TEST(turn.try_take());
            if (i + 1 < vain || vain == 3) first.poll();
        }
        if (vain != 1) turn.give();
        first.cancel.emit(asio::cancellation_type::terminal);
        first.poll();
        if (first.has) turn.give();  // it had been told already
        if (vain == 1) turn.give();
        second.poll();
        BOOST_TEST(second.has, "after " << vain << " vain wake-ups");
        turn.give();
        BOOST_TEST(turn.try_take());
    }
}

BOOST_AUTO_TEST_CASE(threads_keep_out_of_each_other_s_way_and_nobody_is_forgotten) {
    constexpr unsigned threads = 4;
    constexpr unsigned times = 2000;
    Turn turn;
    unsigned counter = 0;  // of whoever has the turn
    std::atomic<unsigned> failures = 0;
    std::vector<std::thread> running;
    for (unsigned i = 0; i < threads; ++i) {
        running.emplace_back([&] {
            asio::io_context context{1};
            asio::co_spawn(context, count_up(turn, counter, times),
                           [&](std::exception_ptr failure) { failures += failure ? 1 : 0; });
            context.run();
        });
    }
    for (auto& thread : running) thread.join();
    BOOST_TEST(failures == 0U);
    BOOST_TEST(counter == threads * times);
    BOOST_TEST(turn.try_take());
}

BOOST_AUTO_TEST_CASE(nor_while_some_are_cancelled) {
    constexpr unsigned threads = 4;
    constexpr unsigned times = 500;
    Turn turn;
    unsigned counter = 0;
    std::vector<std::thread> running;
    std::vector<unsigned> cancelled(threads);
    for (unsigned i = 0; i < threads; ++i) {
        running.emplace_back([&, i] {
            for (unsigned n = 0; n < times; ++n) {
                asio::io_context context{1};
                asio::cancellation_signal cancel;
                asio::co_spawn(context, take_and_give(turn, counter),
                               asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr failure) {
                                   if (failure) ++cancelled[i];
                               }));
                if ((n + i) % 3 == 0) {
                    context.run_one();
                    cancel.emit(asio::cancellation_type::terminal);
                }
                context.run();
            }
        });
    }
    for (auto& thread : running) thread.join();
    unsigned gone = 0;
    for (const unsigned n : cancelled) gone += n;
    BOOST_TEST(counter + gone == threads * times);
    BOOST_TEST(turn.try_take());
}
