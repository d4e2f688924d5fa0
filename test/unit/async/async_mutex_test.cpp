#define BOOST_TEST_MODULE mutex
#include "async/async_mutex.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

using namespace asyncvm;

namespace {

/// One who wants the mutex, with an io_context that runs when the test says so: until then it sleeps.
struct Taker {
    explicit Taker(AsyncMutex& mutex) {
        asio::co_spawn(context, mutex.lock(),
                       asio::bind_cancellation_slot(
                           cancel.slot(), [this](std::exception_ptr failure) { (failure ? cancelled : has) = true; }));
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

awaitable<void> count_up(AsyncMutex& mutex, unsigned& counter, unsigned times) {
    for (unsigned i = 0; i < times; ++i) {
        const bool taken = mutex.try_lock();
        if (!taken) co_await mutex.lock();
        const AsyncLock held(mutex);
        ++counter;
    }
}

awaitable<void> take_and_give(AsyncMutex& mutex, unsigned& counter) {
    co_await mutex.lock();
    const AsyncLock held(mutex);
    ++counter;
}

}  // namespace

BOOST_AUTO_TEST_CASE(one_coroutine_holds_the_mutex_at_a_time) {
    AsyncMutex mutex;
    BOOST_TEST(mutex.try_lock());
    BOOST_TEST(!mutex.try_lock());
    BOOST_TEST(!mutex.try_lock_spinning());
    mutex.unlock();
    BOOST_TEST(mutex.try_lock_spinning());
}

BOOST_AUTO_TEST_CASE(who_waits_gets_it) {
    AsyncMutex mutex;
    BOOST_TEST(mutex.try_lock());
    Taker first(mutex);
    Taker second(mutex);
    BOOST_TEST(!first.has);
    mutex.unlock();
    first.poll();
    second.poll();
    BOOST_TEST(first.has);
    BOOST_TEST(!second.has);
    mutex.unlock();
    second.poll();
    BOOST_TEST(second.has);
    mutex.unlock();
    BOOST_TEST(mutex.try_lock());
}

BOOST_AUTO_TEST_CASE(who_runs_may_come_before_one_that_is_still_to_wake_up_but_not_for_ever) {
    AsyncMutex mutex;
    BOOST_TEST(mutex.try_lock());
    Taker sleeper(mutex);
    Taker behind(mutex);
    for (int i = 0; i < 3; ++i) {
        mutex.unlock();
        BOOST_TEST(mutex.try_lock());  // it is on its way
        sleeper.poll();
        BOOST_TEST(!sleeper.has);
    }
    mutex.unlock();
    BOOST_TEST(!mutex.try_lock());  // this time it was handed over
    sleeper.poll();
    BOOST_TEST(sleeper.has);
    mutex.unlock();
    behind.poll();
    BOOST_TEST(behind.has);
}

BOOST_AUTO_TEST_CASE(who_is_cancelled_is_passed_over) {
    AsyncMutex mutex;
    BOOST_TEST(mutex.try_lock());
    Taker first(mutex);
    Taker second(mutex);
    first.cancel.emit(asio::cancellation_type::terminal);
    mutex.unlock();
    first.poll();
    second.poll();
    BOOST_TEST(first.cancelled);
    BOOST_TEST(second.has);
    mutex.unlock();
    BOOST_TEST(mutex.try_lock());
}

BOOST_AUTO_TEST_CASE(who_is_cancelled_on_its_way_wakes_the_next) {
    // Once while the mutex is free, once while somebody else has it, once when it was handed over.
    for (const int vain : {0, 1, 3}) {
        AsyncMutex mutex;
        BOOST_TEST(mutex.try_lock());
        Taker first(mutex);
        Taker second(mutex);
        for (int i = 0; i < vain; ++i) {
            mutex.unlock();
            BOOST_TEST(mutex.try_lock());
            if (i + 1 < vain || vain == 3) first.poll();
        }
        if (vain != 1) mutex.unlock();
        first.cancel.emit(asio::cancellation_type::terminal);
        first.poll();
        if (first.has) mutex.unlock();  // it had been told already
        if (vain == 1) mutex.unlock();
        second.poll();
        BOOST_TEST(second.has, "after " << vain << " vain wake-ups");
        mutex.unlock();
        BOOST_TEST(mutex.try_lock());
    }
}

BOOST_AUTO_TEST_CASE(threads_keep_out_of_each_other_s_way_and_nobody_is_forgotten) {
    constexpr unsigned threads = 4;
    constexpr unsigned times = 2000;
    AsyncMutex mutex;
    unsigned counter = 0;  // of whoever has the mutex
    std::atomic<unsigned> failures = 0;
    std::vector<std::thread> running;
    for (unsigned i = 0; i < threads; ++i) {
        running.emplace_back([&] {
            asio::io_context context{1};
            asio::co_spawn(context, count_up(mutex, counter, times),
                           [&](std::exception_ptr failure) { failures += failure ? 1 : 0; });
            context.run();
        });
    }
    for (auto& thread : running) thread.join();
    BOOST_TEST(failures == 0U);
    BOOST_TEST(counter == threads * times);
    BOOST_TEST(mutex.try_lock());
}

BOOST_AUTO_TEST_CASE(nor_while_some_are_cancelled) {
    constexpr unsigned threads = 4;
    constexpr unsigned times = 500;
    AsyncMutex mutex;
    unsigned counter = 0;
    std::vector<std::thread> running;
    std::vector<unsigned> cancelled(threads);
    for (unsigned i = 0; i < threads; ++i) {
        running.emplace_back([&, i] {
            for (unsigned n = 0; n < times; ++n) {
                asio::io_context context{1};
                asio::cancellation_signal cancel;
                asio::co_spawn(context, take_and_give(mutex, counter),
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
    BOOST_TEST(mutex.try_lock());
}
