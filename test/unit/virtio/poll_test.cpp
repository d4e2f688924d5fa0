// A queue is polled while its chains follow each other quickly: neither notifications nor wake-ups are between them.
#include <boost/test/unit_test.hpp>

#include <chrono>

#include "mirror.hpp"
#include "virtio/poll_time.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;
using namespace std::chrono_literals;

namespace {

boost::test_tools::assertion_result several_processors(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result result(has_several_processors());
    result.message() << "this process has one processor, and nothing is polled";
    return result;
}

/// Offers a second chain when the first one has been answered, without a notification, and ends the polling by a pause.
awaitable<void> offer_another(MirrorDriver& driver, std::uint16_t& flags) {
    const auto until = std::chrono::steady_clock::now() + 5s;
    const auto answered = [&](std::uint16_t count) {
        return driver.ring().used_index() == count || std::chrono::steady_clock::now() > until;
    };
    while (!answered(1)) co_await asio::post(driver.loop, use_awaitable);
    flags = driver.ring().used_flags();
    driver.ask(2, "second");
    while (!answered(2)) co_await asio::post(driver.loop, use_awaitable);
    driver.surroundings.gate->close();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_chain_that_comes_soon_needs_no_notification, *boost::unit_test::precondition(several_processors)) {
    MirrorDriver driver(std::make_shared<Mirror>(1h));
    driver.start();
    driver.ask(0, "first");
    std::uint16_t flags = 0;
    asio::co_spawn(driver.loop, offer_another(driver, flags), [](std::exception_ptr) {});
    driver.notify(0);
    BOOST_TEST(driver.ring().used_index() == 2u);
    BOOST_TEST(driver.answer(2, 6) == "dnoces");
    BOOST_TEST(flags == 1u);
}

BOOST_AUTO_TEST_CASE(a_queue_without_work_is_left_alone_until_it_is_notified) {
    for (const std::chrono::microseconds limit : {0us, 1000us}) {
        MirrorDriver driver(std::make_shared<Mirror>(limit));
        driver.start();
        // Each call ends when the loop has nothing to do.
        for (std::uint16_t head : {0, 2, 4}) {
            driver.ask(head, "abc");
            driver.notify(0);
            BOOST_TEST((driver.ring().take_used() == RingDriver::Used{head, 3}));
            BOOST_TEST(driver.ring().used_flags() == 0u);
        }
        driver.ask(6, "abc");
        driver.poll();
        BOOST_TEST(!driver.ring().take_used().has_value());
        driver.notify(0);
        BOOST_TEST(driver.ring().take_used().has_value());
    }
}

BOOST_AUTO_TEST_CASE(a_reset_ends_the_polling, *boost::unit_test::precondition(several_processors)) {
    MirrorDriver driver(std::make_shared<Mirror>(1h));
    driver.start();
    driver.ask(0, "abc");
    driver.mirror->resets = 0;
    asio::co_spawn(driver.loop, driver.device->rung(0), [](std::exception_ptr) {});
    driver.begin_write(MmioRegisters::status, 0);
    BOOST_TEST(driver.write_done);
    BOOST_TEST(driver.mirror->resets == 1u);
}

// The decision.

BOOST_AUTO_TEST_CASE(polling_begins_after_a_short_sleep_and_ends_after_a_long_one) {
    PollTime time(50us);
    BOOST_TEST((time.begin() == 0us));
    time.slept(101us);
    BOOST_TEST((time.begin() == 0us));
    time.slept(100us);
    BOOST_TEST((time.begin() == 50us));
    time.found();
    BOOST_TEST((time.begin() == 50us));
    time.slept(101us);
    BOOST_TEST((time.begin() == 0us));
    PollTime never(0us);
    never.slept(0us);
    BOOST_TEST((never.begin() == 0us));
}

BOOST_AUTO_TEST_CASE(polling_in_vain_is_tried_again_less_and_less_often) {
    PollTime time(50us);
    time.slept(1us);
    for (const unsigned skipped : {1, 3, 7, 15, 31, 63, 127, 255, 255}) {
        BOOST_TEST((time.begin() == 50us));
        time.missed();
        for (unsigned sleep = 0; sleep < skipped; ++sleep) BOOST_TEST((time.begin() == 0us));
    }
    time.found();
    time.missed();
    BOOST_TEST((time.begin() == 0us));
    BOOST_TEST((time.begin() == 50us));
}
