// A virtio device at its PCI transport: its registers, its interrupts, and the BAR that moves.
#define BOOST_TEST_MODULE virtio_pci
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "mirror.hpp"
#include "pci_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

namespace {

using R = PciRegisters;
using Data = std::vector<std::uint32_t>;
using PciMirror = Asking<PciDriver>;

constexpr std::uint64_t all_features = 1 | feature_indirect | feature_event_index | feature_version_1 | feature_ring_reset;

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_function_says_what_it_is_and_where_its_registers_are, PciMirror) {
    BOOST_TEST(config(0x00) == 0x106a'1af4u);  // 0x1040 + 42
    BOOST_TEST(config(0x08, 1) == 1u);
    BOOST_TEST(config(0x3c, 2) == 0x010bu);
    BOOST_TEST(config(0x10) == bar);
    BOOST_TEST((config(0x06, 2) & 0x10) == 0x10u);
    BOOST_TEST(at_msix != 0u);
    BOOST_TEST(at_window != 0u);
    BOOST_TEST(config(at_msix + 2, 2) == 2u);  // a vector for each queue, one for the configuration
    BOOST_TEST(config(at_msix + 4) == R::msix_table);
    BOOST_TEST(at_notify == R::notify);
    BOOST_TEST(notify_multiplier == 4u);
    BOOST_TEST(at_config == R::config);
    BOOST_TEST(common(R::queues, 2) == 2u);
    for (const unsigned queue : {0u, 1u, 2u}) {
        set_common(R::queue_select, 2, queue);
        BOOST_TEST(common(R::queue_size, 2) == (queue < 2 ? 8u : 0u));
        BOOST_TEST(common(R::queue_notify_off, 2) == (queue < 2 ? queue : 0u));
        BOOST_TEST(common(R::queue_vector, 2) == 0xffffu);
    }
    const auto bells = function->doorbells();
    BOOST_REQUIRE(bells.size() == 2u);
    BOOST_TEST(bells[1].offset == at_notify + notify_multiplier);
    BOOST_TEST(bells[1].size == 2u);
    BOOST_TEST(!bells[1].data);
}

BOOST_FIXTURE_TEST_CASE(registers_are_read_in_any_width_and_written_whole, PciMirror) {
    set_common(R::device_features_select, 4, 1);
    const std::uint64_t high = common(R::device_features, 4);
    set_common(R::device_features_select, 4, 0);
    BOOST_TEST((high << 32 | common(R::device_features, 4)) == all_features);
    BOOST_TEST(common(R::device_features + 3, 1) == 0x30u);
    set_common(R::queue_select, 2, 1);
    BOOST_TEST(common(R::status, 4) == 0x0001'0000u);  // status, generation, queue_select
    set_common(R::queue_select, 4, 0);
    BOOST_TEST(common(R::queue_select, 2) == 1u);
    set_common(R::queue_descriptors, 4, 0x1111'2000);
    set_common(R::queue_descriptors + 4, 4, 0x3);
    BOOST_TEST(common(R::queue_descriptors + 4, 4) == 3u);
    BOOST_TEST(common(R::queue_descriptors + 2, 2) == 0x1111u);
    set_common(R::driver_features_select, 4, 1);
    set_common(R::driver_features, 4, 1);
    BOOST_TEST(common(R::driver_features, 4) == 1u);
    BOOST_TEST(common(R::driver_features_select, 4) == 1u);
    BOOST_TEST(read(0x3c, 4) == 0u);    // behind the registers
    BOOST_TEST(read(0x7000, 4) == 0u);  // behind everything
    write(0x7000, 4, 1);
}

BOOST_FIXTURE_TEST_CASE(a_driver_gets_its_answers_and_a_message_for_each_queue, PciMirror) {
    start(feature_version_1 | 1, 2);
    BOOST_TEST(controller.expected);
    BOOST_TEST(common(R::status, 1) == 0xfu);
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(answer(0, 3) == "cba");
    BOOST_TEST(messages() == Data{0x41}, boost::test_tools::per_element());
    ask(2, "xy", 1);
    notify(1);
    BOOST_TEST(messages() == Data{0x42}, boost::test_tools::per_element());
    BOOST_TEST(read(at_config + 1, 1) == 0u);
    mirror->change_config();
    BOOST_TEST(messages() == Data{0x40}, boost::test_tools::per_element());
    BOOST_TEST(read(at_config + 1, 1) == 1u);
    BOOST_TEST(common(R::config_generation, 1) == 1u);
    BOOST_TEST(!interrupted());
    BOOST_TEST(read(at_isr, 1) == 0u);
    BOOST_TEST(log.empty());
}

BOOST_FIXTURE_TEST_CASE(a_vector_that_is_masked_is_pending_until_it_is_not, PciMirror) {
    start(feature_version_1, 2);
    write(R::msix_table + 16 + 12, 4, 1);
    ask(0, "abc");
    notify(0);
    BOOST_TEST(messages().empty());
    BOOST_TEST(read(R::msix_pending, 4) == 2u);
    write(R::msix_table + 16 + 12, 4, 0);
    BOOST_TEST(messages() == Data{0x41}, boost::test_tools::per_element());
    BOOST_TEST(read(R::msix_pending, 4) == 0u);
    set_config(at_msix + 2, 2, 0xc000);
    ask(2, "abc", 1);
    notify(1);
    BOOST_TEST(messages().empty());
    set_config(at_msix + 2, 2, 0x8000);
    BOOST_TEST(messages() == Data{0x42}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(two_queues_may_share_a_vector_and_one_may_have_none, PciMirror) {
    start(feature_version_1, 2);
    BOOST_REQUIRE(negotiate(feature_version_1));
    set_common(R::config_vector, 2, 3);
    BOOST_TEST(common(R::config_vector, 2) == 0xffffu);  // there are three, 0 to 2
    set_up_queue(0, ring(0), std::nullopt);
    set_up_queue(1, ring(1), 2);
    set_common(R::queue_select, 2, 0);
    BOOST_TEST(common(R::queue_vector, 2) == 0xffffu);
    set_common(R::status, 1, 0xf);
    ask(0, "abc");
    notify(0);
    BOOST_TEST(ring().take_used().has_value());
    mirror->change_config();
    BOOST_TEST(messages().empty());
    ask(0, "abc", 1);
    notify(1);
    BOOST_TEST(messages() == Data{0x42}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(without_msix_the_line_is_high_until_the_isr_register_is_read, PciMirror) {
    start(feature_version_1, 2, false);
    BOOST_TEST(!controller.expected);
    ask(0, "abc");
    notify(0);
    BOOST_TEST(interrupted());
    BOOST_TEST((config(0x06, 2) & 8) == 8u);
    BOOST_TEST(read(at_isr, 1) == 1u);
    BOOST_TEST(!interrupted());
    BOOST_TEST((config(0x06, 2) & 8) == 0u);
    BOOST_TEST(read(at_isr, 1) == 0u);
    mirror->change_config();
    BOOST_TEST(interrupted());
    set_config(0x04, 2, 0x0406);  // interrupts disabled
    BOOST_TEST(!interrupted());
    BOOST_TEST((config(0x06, 2) & 8) == 8u);
    set_config(0x04, 2, 0x0006);
    BOOST_TEST(interrupted());
    BOOST_TEST(read(at_isr, 1) == 2u);
    BOOST_TEST(messages().empty());
}

BOOST_FIXTURE_TEST_CASE(a_mistake_of_the_driver_is_a_change_of_the_configuration, PciMirror) {
    start(feature_version_1, 2);
    ring().offer(7, {{0xffff'0000, 16}});
    notify(0);
    BOOST_TEST((common(R::status, 1) & DeviceState::needs_reset_bit) != 0u);
    BOOST_TEST(messages() == Data{0x40}, boost::test_tools::per_element());
    BOOST_TEST(log.size() == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_reset_of_the_device_takes_its_vectors_and_leaves_the_table, PciMirror) {
    start(feature_version_1, 2);
    set_common(R::status, 1, 0);
    BOOST_TEST(common(R::status, 1) == 0u);
    BOOST_TEST(common(R::config_vector, 2) == 0xffffu);
    set_common(R::queue_select, 2, 1);
    BOOST_TEST(common(R::queue_vector, 2) == 0xffffu);
    BOOST_TEST(common(R::queue_enable, 2) == 0u);
    BOOST_TEST(read(R::msix_table + 16 + 8, 4) == 0x41u);
    BOOST_TEST(config(at_msix + 2, 2) == 0x8002u);
    BOOST_TEST(mirror->resets == 2u);  // start() has made the first
}

BOOST_FIXTURE_TEST_CASE(one_queue_is_reset_and_set_up_again, PciMirror) {
    start(feature_version_1 | feature_ring_reset, 2);
    set_common(R::queue_select, 2, 0);
    set_common(R::queue_enable, 2, 0);  // forbidden, and without effect
    BOOST_TEST(common(R::queue_enable, 2) == 1u);
    set_common(R::queue_reset, 2, 1);
    BOOST_TEST(common(R::queue_reset, 2) == 0u);
    BOOST_TEST(common(R::queue_enable, 2) == 0u);
    BOOST_TEST(common(R::queue_vector, 2) == 0xffffu);
    ask(2, "xy", 1);
    notify(1);
    BOOST_TEST(messages() == Data{0x42}, boost::test_tools::per_element());
    memory.zero(0x1000, 0x1000);
    rings[0] = std::make_unique<RingDriver>(memory, 0x1000, std::uint16_t{8});
    set_up_queue(0, ring(), 1);
    ask(0, "abc");
    notify(0);
    BOOST_TEST(messages() == Data{0x41}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(what_is_no_bus_master_touches_no_memory_and_sends_no_message, PciMirror) {
    BOOST_TEST(config(0x04, 2) == 6u);  // as a firmware leaves it
    set_config(0x04, 2, 2);
    start(feature_version_1, 2);
    ask(0, "abc");
    notify(0);
    BOOST_TEST(!ring().take_used().has_value());
    mirror->change_config();
    BOOST_TEST(messages().empty());
    set_config(0x04, 2, 6);
    poll();
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(messages() == Data{0x41}, boost::test_tools::per_element());
    BOOST_TEST(common(R::status, 1) == 0xfu);
}

BOOST_FIXTURE_TEST_CASE(bus_mastering_that_ends_stops_the_queues_until_a_reset, PciMirror) {
    start(feature_version_1, 2);
    set_config(0x04, 2, 2);
    BOOST_REQUIRE(log.size() == 1u);
    BOOST_TEST(
        log[0] ==
        "device virtio-mirror: the driver has ended its bus mastering while it used it; the driver has to reset the device");
    ask(0, "abc");
    notify(0);
    const auto bytes = saved();
    set_config(0x04, 2, 6);
    notify(0);
    BOOST_TEST(!ring().take_used().has_value());
    BOOST_TEST((common(R::status, 1) & DeviceState::needs_reset_bit) != 0u);
    // Nor are they served by a machine that goes on from there.
    restore(bytes);
    notify(0);
    BOOST_TEST(!ring().take_used().has_value());
    set_config(0x04, 2, 6);
    start(feature_version_1, 2);
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}

BOOST_FIXTURE_TEST_CASE(the_bar_follows_the_configuration_space, PciMirror) {
    using Moves = std::vector<std::optional<std::uint64_t>>;
    const auto moves = [this] { return std::exchange(range->moves, {}); };
    BOOST_TEST((moves() == Moves{bar}));
    // As Linux sizes it: decoding off, ones, back, decoding on.
    set_config(0x04, 2, 0);
    set_config(0x10, 4, 0xffff'ffff);
    BOOST_TEST(config(0x10) == 0xffff'8000u);
    set_config(0x10, 4, bar);
    set_config(0x04, 2, 2);
    BOOST_TEST((moves() == Moves{std::nullopt, bar}));
    set_config(0x10, 4, 0x0800'0000);  // while it is decoded
    BOOST_TEST((moves() == Moves{0x0800'0000}));
    set_config(0x04, 2, 6);
    set_config(0x3c, 1, 5);
    BOOST_TEST(moves().empty());
    function->reset();
    BOOST_TEST((moves() == Moves{bar}));
    BOOST_TEST(config(0x3c, 1) == irq);
}

BOOST_FIXTURE_TEST_CASE(the_configuration_space_has_a_window_on_the_bar, PciMirror) {
    const auto aim = [this](unsigned offset, unsigned size, unsigned in = 0) {
        set_config(at_window + 4, 1, in);
        set_config(at_window + 8, 4, offset);
        set_config(at_window + 12, 4, size);
    };
    aim(at_common + R::queues, 2);
    BOOST_TEST(config(at_window + 16) == 2u);
    aim(at_common + R::status, 1);
    set_config(at_window + 16, 4, DeviceState::acknowledge);
    BOOST_TEST(common(R::status, 1) == 1u);
    aim(at_config, 1);
    BOOST_TEST(config(at_window + 16) == 0x11u);
    start(feature_version_1, 1);
    ask(0, "abc");
    aim(at_notify, 2);
    set_config(at_window + 16, 2, 0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    // What is no window is nothing.
    aim(at_common + R::status, 1, 1);
    set_config(at_window + 16, 1, 0);
    aim(at_common + R::status, 3);
    set_config(at_window + 16, 4, 0);
    aim(0xffff'fffc, 4);
    set_config(at_window + 16, 4, 0);
    BOOST_TEST(common(R::status, 1) == 0xfu);
}

BOOST_FIXTURE_TEST_CASE(a_notification_of_another_width_is_heard_too, PciMirror) {
    start(feature_version_1, 2);
    ask(2, "abc", 1);
    write(at_notify + notify_multiplier, 4, 1);
    BOOST_TEST((ring(1).take_used() == RingDriver::Used{2, 3}));
    write(at_notify + 2 * notify_multiplier, 4, 2);  // no such queue
}

BOOST_FIXTURE_TEST_CASE(a_restored_device_goes_on_with_its_vectors_and_its_place, PciMirror) {
    start(feature_version_1, 2);
    write(R::msix_table + 16 + 12, 4, 1);
    ask(0, "abc");
    notify(0);
    mirror->set_busy(true);
    ask(2, "xy", 1);
    notify(1);
    set_config(0x10, 4, 0x0800'0000);
    surroundings.gate->close();
    const auto bytes = saved();

    PciMirror other;
    std::array<std::byte, ram> copy{};
    memory.read(0, copy);
    other.memory.write(0, copy);
    for (const auto& at : rings) {
        other.rings.push_back(std::make_unique<RingDriver>(other.memory, at->descriptors(), at->size()));
    }
    other.restore(bytes);
    BOOST_TEST(other.controller.expected);
    BOOST_TEST((other.range->moves.back() == std::optional<std::uint64_t>(0x0800'0000)));
    BOOST_TEST(other.messages() == Data{0x42}, boost::test_tools::per_element());
    BOOST_TEST(other.answer(2, 2, 1) == "yx");
    BOOST_TEST(other.read(R::msix_pending, 4) == 2u);
    other.write(R::msix_table + 16 + 12, 4, 0);
    BOOST_TEST(other.messages() == Data{0x41}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_machine_s_reset_takes_everything_back, PciMirror) {
    const auto fresh = saved();
    start(feature_version_1, 2);
    set_config(0x04, 2, 0);
    run(function->before_reset());
    function->reset();
    BOOST_TEST((saved() == fresh));
}

BOOST_FIXTURE_TEST_CASE(whatever_a_driver_writes_the_device_works_after_a_reset, PciMirror) {
    std::minstd_rand random(5);  // NOLINT: the same sequence each time
    for (int step = 0; step < 30'000; ++step) {
        const unsigned size = 1u << random() % 3;
        const auto value = static_cast<std::uint32_t>(random() % 4 != 0 ? random() % 0x60 : random() * 3);
        switch (random() % 4) {
            case 0:
                set_config(static_cast<unsigned>(random()) % (0x100 / size) * size, size, value);
                break;
            case 1:
                write(static_cast<unsigned>(random()) % 0x40 / size * size, size, value);
                break;
            case 2:
                write(static_cast<unsigned>(random()) % R::bar_size / size * size, size, value);
                break;
            default:
                static_cast<void>(read(static_cast<unsigned>(random()) % R::bar_size / size * size, size));
                static_cast<void>(config(static_cast<unsigned>(random()) % (0x100 / size) * size, size));
                break;
        }
    }
    run(function->before_reset());
    function->reset();
    static_cast<void>(messages());
    start(feature_version_1, 2);
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
    BOOST_TEST(messages() == Data{0x41}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(damaged_state_of_the_function_is_refused_or_gives_one_that_works, PciMirror) {
    start(feature_version_1, 2);
    ask(0, "abc");
    notify(0);
    const auto bytes = saved();
    std::minstd_rand random(20261129);  // NOLINT: the same sequence each time
    unsigned refused = 0;
    for (int round = 0; round < 2000; ++round) {
        auto damaged = bytes;
        for (unsigned changes = 1 + static_cast<unsigned>(random()) % 3; changes > 0; --changes) {
            damaged[random() % damaged.size()] = static_cast<std::byte>(random());
        }
        try {
            restore(damaged);
            notify(static_cast<unsigned>(random()) % 2);
            BOOST_REQUIRE(config(0) == 0x106a'1af4u);
            static_cast<void>(common(R::status, 1));
        } catch (const Error& error) {
            BOOST_REQUIRE(error.kind() == ErrorKind::usage);
            ++refused;
        }
    }
    BOOST_TEST(refused > 0u);
    function->reset();
    static_cast<void>(messages());
    start(feature_version_1, 2);
    ask(0, "abc");
    notify(0);
    BOOST_TEST((ring().take_used() == RingDriver::Used{0, 3}));
}
