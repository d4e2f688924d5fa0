#define BOOST_TEST_MODULE async
#include <asyncvm/event.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <thread>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

awaitable<void> await_one_shot(std::shared_ptr<OneShot> shot, int& resumed) {
    co_await shot->wait();
    ++resumed;
}

awaitable<void> await_change(Event& event, std::uint64_t seen, bool& changed) {
    const bool result = co_await event.wait(seen);
    changed = result;
}

awaitable<void> await_limit(Event& event, bool& result) {
    const bool changed = co_await event.wait(event.generation(), 1ms);
    result = changed;
}

// A producer that must never lose a wake-up of the consumer, and the other way round.
awaitable<void> consume(Event& event, std::atomic<int>& produced, int target) {
    for (;;) {
        const auto seen = event.generation();
        if (produced.load() == target) break;
        co_await event.wait(seen);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_one_shot_that_is_complete_already_does_not_wait) {
    asio::io_context loop(1);
    const auto shot = std::make_shared<OneShot>();
    int resumed = 0;
    BOOST_TEST(shot->complete());
    BOOST_TEST(!shot->complete());
    asio::co_spawn(loop, await_one_shot(shot, resumed), [](std::exception_ptr e) { BOOST_TEST(!e); });
    loop.run();
    BOOST_TEST(resumed == 1);
}

BOOST_AUTO_TEST_CASE(a_one_shot_resumes_its_waiter_from_another_thread) {
    asio::io_context loop(1);
    const auto shot = std::make_shared<OneShot>();
    int resumed = 0;
    asio::co_spawn(loop, await_one_shot(shot, resumed), [](std::exception_ptr e) { BOOST_TEST(!e); });
    std::thread other([shot] { shot->complete(); });
    loop.run();
    other.join();
    BOOST_TEST(resumed == 1);
}

BOOST_AUTO_TEST_CASE(a_wait_can_be_cancelled) {
    asio::io_context loop(1);
    asio::cancellation_signal signal;
    const auto shot = std::make_shared<OneShot>();
    int resumed = 0;
    bool aborted = false;
    asio::co_spawn(
        loop, await_one_shot(shot, resumed),
        asio::bind_cancellation_slot(signal.slot(), [&aborted](std::exception_ptr e) { aborted = static_cast<bool>(e); }));
    asio::post(loop, [&signal] { signal.emit(asio::cancellation_type::terminal); });
    loop.run();
    BOOST_TEST(resumed == 0);
    BOOST_TEST(aborted);
    BOOST_TEST(!shot->complete());
}

BOOST_AUTO_TEST_CASE(a_change_between_look_and_wait_is_not_missed) {
    asio::io_context loop(1);
    Event event;
    const auto seen = event.generation();
    event.notify();
    bool changed = false;
    asio::co_spawn(loop, await_change(event, seen, changed), [](std::exception_ptr e) { BOOST_TEST(!e); });
    loop.run();
    BOOST_TEST(changed);
}

BOOST_AUTO_TEST_CASE(a_wait_with_a_limit_ends_without_a_change) {
    asio::io_context loop(1);
    Event event;
    bool result = true;
    asio::co_spawn(loop, await_limit(event, result), [](std::exception_ptr e) { BOOST_TEST(!e); });
    loop.run();
    BOOST_TEST(!result);
}

BOOST_AUTO_TEST_CASE(two_consumers_see_every_change_of_a_busy_producer) {
    constexpr int target = 20'000;
    asio::io_context first(1);
    asio::io_context second(1);
    Event event;
    std::atomic<int> produced = 0;
    std::atomic<bool> failed = false;  // Boost.Test's assertions belong to the main thread
    asio::co_spawn(first, consume(event, produced, target), [&failed](std::exception_ptr e) {
        if (e) failed = true;
    });
    asio::co_spawn(second, consume(event, produced, target), [&failed](std::exception_ptr e) {
        if (e) failed = true;
    });
    std::thread producer([&] {
        for (int i = 0; i < target; ++i) {
            produced.fetch_add(1);
            event.notify();
        }
    });
    std::thread consumer([&second] { second.run(); });
    first.run();
    consumer.join();
    producer.join();
    BOOST_TEST(!failed);
    BOOST_TEST(produced == target);
}

BOOST_AUTO_TEST_CASE(an_abandoned_wait_leaves_nothing_behind) {
    Event event;
    {
        asio::io_context loop(1);
        bool changed = false;
        asio::co_spawn(loop, await_change(event, event.generation(), changed), [](std::exception_ptr) {});
        loop.poll();
    }
    event.notify();
    BOOST_TEST(event.generation() == 1u);
}

BOOST_AUTO_TEST_CASE(a_wait_may_outlive_its_event) {
    asio::io_context loop(1);
    bool changed = false;
    {
        Event event;
        asio::co_spawn(loop, await_change(event, event.generation(), changed), [](std::exception_ptr) {});
        loop.poll();
    }
    BOOST_TEST(!changed);
}
