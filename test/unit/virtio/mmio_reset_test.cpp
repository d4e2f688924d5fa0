// Resets, pauses and saved state of a virtio device in the middle of its work.
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <random>

#include "mirror.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

using R = MmioRegisters;

BOOST_FIXTURE_TEST_CASE(the_driver_waits_for_its_reset_until_nothing_is_under_way, MirrorDriver) {
    start();
    ask(0, "abc");
    ask(2, "def");
    mirror->set_busy(true);
    notify(0);
    BOOST_TEST(mirror->under_way == 2u);
    const auto resets_before = mirror->resets;
    begin_write(R::status, 0);
    poll();
    BOOST_TEST(!write_done);
    BOOST_TEST(mirror->resets == resets_before);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(write_done);
    BOOST_TEST(mirror->resets == resets_before + 1);
    BOOST_TEST(read(R::status) == 0u);
    BOOST_TEST(!ring().take_used().has_value());
    BOOST_TEST(!interrupted());
    poll();
    BOOST_TEST(!ring().take_used().has_value());
}

BOOST_FIXTURE_TEST_CASE(nothing_of_before_a_reset_reaches_a_ring_that_is_used_again, MirrorDriver) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    begin_write(R::status, 0);
    mirror->set_busy(false);
    poll();
    start();
    notify(0);
    BOOST_TEST(ring().used_index() == 0u);
    ask(4, "xyz");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{4, 3}));
    BOOST_TEST(!ring().take_used().has_value());
}

BOOST_FIXTURE_TEST_CASE(a_reset_lowers_the_interrupt_and_needs_no_driver_before, MirrorDriver) {
    write(R::status, 0);
    BOOST_TEST(read(R::status) == 0u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST(interrupted());
    write(R::status, 0);
    BOOST_TEST(!interrupted());
    write(R::queue_select, 0);
    BOOST_TEST(read(R::queue_ready) == 0u);
    notify(0);
    BOOST_TEST(log.empty());
}

BOOST_FIXTURE_TEST_CASE(one_queue_is_reset_and_the_other_goes_on, MirrorDriver) {
    start(feature_version_1 | feature_ring_reset, 2);
    ask(0, "abc");
    ask(0, "abc", 1);
    mirror->set_busy(true);
    notify(0);
    notify(1);
    write(R::queue_select, 0);
    begin_write(R::queue_reset, 1);
    BOOST_TEST(!write_done);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(write_done);
    BOOST_TEST(read(R::queue_reset) == 0u);
    BOOST_TEST(read(R::queue_ready) == 0u);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(ring().used_index() == 0u);
    memory.zero(0x1000, 0x1000);
    rings[0] = std::make_unique<RingDriver>(memory, 0x1000, std::uint16_t{4});
    set_up_queue(0, ring());
    ask(1, "again");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{1, 5}));
}

BOOST_FIXTURE_TEST_CASE(the_machine_s_reset_waits_for_what_is_under_way, MirrorDriver) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    bool ended = false;
    asio::co_spawn(loop, device->before_reset(), [&ended](std::exception_ptr) { ended = true; });
    poll();
    BOOST_TEST(!ended);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(ended);
    device->reset();
    BOOST_TEST(read(R::status) == 0u);
    BOOST_TEST(ring().used_index() == 0u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

BOOST_FIXTURE_TEST_CASE(the_end_of_the_machine_waits_for_what_is_under_way, MirrorDriver) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    stop_run.emit(asio::cancellation_type::terminal);
    poll();
    BOOST_TEST(!run_ended);
    mirror->set_busy(false);
    poll();
    BOOST_TEST(run_ended);
    BOOST_TEST(ring().used_index() == 0u);
}

BOOST_AUTO_TEST_CASE(a_loop_may_be_destroyed_with_everything_under_way) {
    MirrorDriver station;
    station.start(feature_version_1, 2);
    station.ask(0, "abc");
    station.ask(0, "abc", 1);
    station.mirror->set_busy(true);
    station.notify(0);
    station.notify(1);
    station.begin_write(R::status, 0);
    BOOST_TEST(!station.write_done);
}

// Pauses, configuration, state.

BOOST_FIXTURE_TEST_CASE(a_paused_machine_s_driver_gets_nothing_until_it_goes_on, MirrorDriver) {
    start();
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    surroundings.gate->close();
    mirror->set_busy(false);
    ask(2, "def");
    notify(0);
    BOOST_TEST(ring().used_index() == 0u);
    BOOST_TEST(!interrupted());
    surroundings.gate->open();
    poll();
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST((ring().take_used() == RingDriver::Used{2, 3}));
    BOOST_TEST(interrupted());
}

BOOST_FIXTURE_TEST_CASE(the_configuration_is_read_written_and_changed, MirrorDriver) {
    BOOST_TEST(read(R::config, 4) == 0x330011u);
    write(R::config + 1, 0xff, 1);
    BOOST_TEST(read(R::config + 1, 1) == 1u);
    write(R::config + 3, 0xff, 1);  // behind its end
    write(R::config + 2, 0xffff, 2);
    BOOST_TEST(read(R::config, 4) == 0x330111u);
    start();
    BOOST_TEST(read(R::config + 1, 1) == 0u);  // the reset
    const auto generation = read(R::config_generation);
    mirror->change_config();
    BOOST_TEST(read(R::config_generation) != generation);
    BOOST_TEST(read(R::config + 1, 1) == 1u);
    BOOST_TEST(acknowledge() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_restored_device_does_what_was_under_way_again, MirrorDriver) {
    start(feature_version_1 | feature_event_index, 2);
    ask(0, "done");
    notify(0);
    mirror->set_busy(true);
    ask(2, "abc");
    ask(4, "def");
    notify(0);
    BOOST_TEST(mirror->under_way == 2u);
    surroundings.gate->close();
    const auto bytes = saved();

    MirrorDriver other;
    std::array<std::byte, ram> copy{};
    memory.read(0, copy);
    other.memory.write(0, copy);
    for (const auto& at : rings)
        other.rings.push_back(std::make_unique<RingDriver>(other.memory, at->descriptors(), at->size()));
    other.restore(bytes);
    BOOST_TEST(other.interrupted());
    BOOST_TEST(other.read(R::status) == 0xfu);
    BOOST_TEST((other.ring().take_used() == RingDriver::Used{0, 4}));
    BOOST_TEST((other.ring().take_used() == RingDriver::Used{2, 3}));
    BOOST_TEST((other.ring().take_used() == RingDriver::Used{4, 3}));
    BOOST_TEST(other.answer(4, 3) == "fed");
    BOOST_TEST((other.saved() != bytes));

    // And again where one is already at work, which has nothing of its own to give back.
    other.ring().offer(0);
    other.mirror->set_busy(true);
    other.notify(0);
    other.memory.write(0, copy);
    other.restore(bytes);
    other.mirror->set_busy(false);
    other.poll();
    BOOST_TEST(other.ring().used_index() == 3u);
}

BOOST_FIXTURE_TEST_CASE(damaged_state_is_refused_or_gives_a_device_that_works, MirrorDriver) {
    start(feature_version_1 | feature_event_index, 2);
    ask(0, "abc");
    mirror->set_busy(true);
    notify(0);
    const auto bytes = saved();
    mirror->set_busy(false);
    poll();
    std::mt19937 random(20261129);  // NOLINT: the same sequence each time
    unsigned refused = 0;
    for (int round = 0; round < 3000; ++round) {
        auto damaged = bytes;
        for (unsigned changes = 1 + random() % 3; changes > 0; --changes) {
            damaged[random() % damaged.size()] = static_cast<std::byte>(random());
        }
        try {
            restore(damaged);
            notify(random() % 2);
            static_cast<void>(read(R::status));
        } catch (const Error& error) {
            BOOST_REQUIRE(error.kind() == ErrorKind::usage);
            ++refused;
        }
    }
    BOOST_TEST(refused > 0u);
    start();
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}
