// A virtio device at its transport: what its driver sees, and what its author can rely on.
#define BOOST_TEST_MODULE virtio_mmio
#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

#include "mirror.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

using R = MmioRegisters;

BOOST_FIXTURE_TEST_CASE(a_driver_gets_its_answers, MirrorDriver) {
    BOOST_TEST(read(R::device_id) == 42u);
    BOOST_TEST(offered() == (1 | feature_indirect | feature_event_index | feature_version_1 | feature_ring_reset));
    start(feature_version_1 | 1, 2);
    BOOST_TEST(read(R::status) == 0xfu);
    BOOST_TEST(mirror->has(1));
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(answer(0, 3) == "cba");
    BOOST_TEST(interrupted());
    BOOST_TEST(acknowledge() == 1u);
    BOOST_TEST(!interrupted());
    ask(2, "xy", 1);
    notify(1);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{2, 2}));
    BOOST_TEST(log.empty());
}

BOOST_FIXTURE_TEST_CASE(what_is_offered_and_notified_before_driver_ok_is_served_after_it, MirrorDriver) {
    BOOST_REQUIRE(negotiate(feature_version_1));
    rings.push_back(std::make_unique<RingDriver>(memory, 0x1000, std::uint16_t{8}));
    set_up_queue(0, ring());
    ask(0, "early");
    notify(0);
    BOOST_TEST(!ring().take_used().has_value());
    be_ready();
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 5}));
}

BOOST_FIXTURE_TEST_CASE(chains_that_end_together_interrupt_once, MirrorDriver) {
    start();
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "request");
    mirror->set_busy(true);
    notify(0);
    BOOST_TEST(mirror->under_way == 4u);
    BOOST_TEST(!interrupted());
    const auto interrupts_before = interrupts();
    mirror->set_busy(false);
    loop.restart();
    while (!interrupted() && loop.poll_one() > 0) {
    }
    BOOST_TEST(ring().used_index() == 4u);
    for (std::uint32_t head : {0, 2, 4, 6}) BOOST_TEST((ring().take_used() == RingDriver::Used{head, 7}));
    BOOST_TEST(interrupts() == interrupts_before + 1);
    acknowledge();
    poll();
    BOOST_TEST(interrupts() == interrupts_before + 1);
}

BOOST_FIXTURE_TEST_CASE(no_more_chains_are_under_way_than_the_device_has_coroutines, MirrorDriver) {
    start(feature_version_1, 2);
    mirror->set_busy(true);
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "a");
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "b", 1);
    notify(1);
    BOOST_TEST(mirror->under_way == 1u);
    notify(0);
    BOOST_TEST(mirror->under_way == 5u);
    mirror->set_busy(false);
    poll();
    for (unsigned queue : {0, 1}) {
        for (std::uint32_t head : {0, 2, 4, 6}) BOOST_TEST((ring(queue).take_used() == RingDriver::Used{head, 1}));
    }
}

BOOST_FIXTURE_TEST_CASE(a_driver_that_wants_no_interrupt_gets_none, MirrorDriver) {
    start();
    ring().set_available_flags(1);
    ask(0, "abc");
    notify(0);
    BOOST_TEST(ring().take_used().has_value());
    BOOST_TEST(!interrupted());
}

BOOST_FIXTURE_TEST_CASE(with_event_indices_a_batch_needs_one_notification_and_one_interrupt, MirrorDriver) {
    start(feature_version_1 | feature_event_index);
    BOOST_TEST(ring().available_event() == 0u);
    ring().set_used_event(3);
    for (std::uint16_t head : {0, 2, 4, 6}) ask(head, "abc");
    notify(0);
    BOOST_TEST(ring().available_event() == 4u);
    BOOST_TEST(interrupts() == 1u);
}

// The driver's mistakes.

BOOST_FIXTURE_TEST_CASE(a_mistake_needs_a_reset_and_is_logged_once, MirrorDriver) {
    start(feature_version_1, 2);
    ring().offer(0, {{0x1'0000'0000, 8}});
    notify(0);
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST(acknowledge() == 2u);
    BOOST_TEST(log == std::vector<std::string>{"device virtio-mirror: the driver breaks the rules in queue 0: a buffer is "
                                               "not in the guest's memory; it has to reset the device"},
               boost::test_tools::per_element());
    // The other queue is not to blame.
    ask(0, "ab", 1);
    notify(1);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{0, 2}));
    // A guest that goes on in this way fills no log.
    start();
    ring().offer(0, {{0x1'0000'0000, 8}});
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST(log.size() == 1u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

BOOST_FIXTURE_TEST_CASE(a_queue_that_is_not_in_memory_is_a_mistake, MirrorDriver) {
    BOOST_REQUIRE(negotiate(feature_version_1));
    set_up_queue(0, RingDriver(memory, 0x8000'0000, 8));
    be_ready();
    BOOST_TEST(read(R::status) == 0x4fu);
    notify(0);
    BOOST_TEST(log.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_step_out_of_order_needs_a_reset, MirrorDriver) {
    write(R::status, 4);
    BOOST_TEST(read(R::status) == 0x40u);
    BOOST_TEST_REQUIRE(log.size() == 1u);
    BOOST_TEST(log[0].find("DRIVER_OK comes before FEATURES_OK") != std::string::npos);
    start();
    BOOST_TEST(read(R::status) == 0xfu);
}

BOOST_FIXTURE_TEST_CASE(a_device_may_find_a_request_wrong, MirrorDriver) {
    start();
    ask(0, "wrong");
    ask(2, "abc");
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST_REQUIRE(log.size() == 1u);
    BOOST_TEST(log[0].find("in queue 0: a word that must not be") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_device_that_throws_needs_a_reset_and_ends_nothing_else, MirrorDriver) {
    start(feature_version_1, 2);
    ask(0, "throw");
    notify(0);
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST(log == std::vector<std::string>{"device virtio-mirror failed in queue 0: the host is gone"},
               boost::test_tools::per_element());
    ask(0, "ab", 1);
    notify(1);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{0, 2}));
    BOOST_TEST(!run_ended);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

// The first device.

BOOST_AUTO_TEST_CASE(the_entropy_device_fills_what_it_gets_from_the_machine_s_source) {
    MmioDriver driver(make_rng());
    BOOST_TEST(driver.read(R::device_id) == 4u);
    driver.start();
    driver.ring().offer(1, {{0x8000, 3, for_device}, {0x9000, 2, for_device}});
    driver.notify(0);
    BOOST_TEST((driver.ring().take_used() == RingDriver::Used{1, 5}));
    BOOST_TEST(driver.ring().text_at(0x8000, 4) == std::string("\0\1\2\0", 4));
    BOOST_TEST(driver.ring().text_at(0x9000, 3) == std::string("\3\4\0", 3));
    // A request that has nothing to fill is answered with nothing.
    driver.ring().offer(1, {{0x8000, 3}});
    driver.notify(0);
    BOOST_TEST((driver.ring().take_used() == RingDriver::Used{1, 0}));
    driver.ring().offer(1, {{0x10000, 0x18000, for_device}});
    driver.notify(0);
    BOOST_TEST((driver.ring().take_used() == RingDriver::Used{1, 0x10000}));
    BOOST_TEST(driver.ring().text_at(0x20000, 1) == std::string(1, '\0'));
}
