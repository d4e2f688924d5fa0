#define BOOST_TEST_MODULE virtqueue
// Status, features and queues of a virtio device, as its driver sees them through virtio-mmio registers.
#include "virtio/device_state.hpp"

#include <asyncvm/virtio_chain.hpp>

#include <boost/test/unit_test.hpp>

#include <array>

#include "virtio/mmio_registers.hpp"

using namespace asyncvm::virtio;

namespace {

using R = MmioRegisters;
using Kind = DeviceState::Request::Kind;

struct Registers {
    DeviceState::Request write(unsigned offset, std::uint32_t value, unsigned size = 4) {
        return R::write(state, offset, size, value);
    }
    [[nodiscard]] std::uint32_t read(unsigned offset, unsigned size = 4) const { return R::read(state, 4, offset, size); }

    void accept(std::uint64_t features) {
        write(R::driver_features_select, 1);
        write(R::driver_features, static_cast<std::uint32_t>(features >> 32));
        write(R::driver_features_select, 0);
        write(R::driver_features, static_cast<std::uint32_t>(features));
    }

    static constexpr std::uint64_t offered = feature_version_1 | feature_event_index | 0x21;
    static constexpr std::array<std::uint16_t, 2> sizes{256, 16};
    DeviceState state{offered, sizes};
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_driver_finds_the_device_and_its_features, Registers) {
    BOOST_TEST(read(R::magic) == 0x74726976u);
    BOOST_TEST(read(R::version) == 2u);
    BOOST_TEST(read(R::device_id) == 4u);
    write(R::device_features_select, 0);
    BOOST_TEST(read(R::device_features) == 0x2000'0021u);
    write(R::device_features_select, 1);
    BOOST_TEST(read(R::device_features) == 1u);
    write(R::device_features_select, 2);
    BOOST_TEST(read(R::device_features) == 0u);
    BOOST_TEST(read(R::shared_memory) == 0xffff'ffffu);
}

BOOST_FIXTURE_TEST_CASE(a_driver_that_keeps_the_order_gets_to_driver_ok, Registers) {
    BOOST_TEST((write(R::status, 1).kind == Kind::none));
    BOOST_TEST((write(R::status, 3).kind == Kind::none));
    accept(feature_version_1 | 0x20);
    BOOST_TEST(state.negotiated() == 0u);
    BOOST_TEST((write(R::status, 0xb).kind == Kind::none));
    BOOST_TEST(read(R::status) == 0xbu);
    BOOST_TEST(state.negotiated() == (feature_version_1 | 0x20));
    BOOST_TEST((write(R::status, 0xf).kind == Kind::start));
    BOOST_TEST(state.running());
    BOOST_TEST((write(R::status, 0xf).kind == Kind::none));  // once
    BOOST_TEST((write(R::status, 0).kind == Kind::reset));
    BOOST_TEST(read(R::status) == 0xfu);  // until reset() is called
    state.reset();
    BOOST_TEST(read(R::status) == 0u);
    BOOST_TEST(state.negotiated() == 0u);
}

BOOST_FIXTURE_TEST_CASE(features_that_were_not_offered_are_not_taken, Registers) {
    write(R::status, 3);
    accept(feature_version_1 | 2);
    BOOST_TEST((write(R::status, 0xb).kind == Kind::none));
    BOOST_TEST(read(R::status) == 3u);
    accept(feature_version_1);
    write(R::status, 0xb);
    BOOST_TEST(read(R::status) == 0xbu);
}

BOOST_FIXTURE_TEST_CASE(a_driver_without_version_1_is_not_taken, Registers) {
    write(R::status, 3);
    accept(0x21);
    write(R::status, 0xb);
    BOOST_TEST(read(R::status) == 3u);
}

BOOST_FIXTURE_TEST_CASE(features_may_be_written_twice_but_not_after_features_ok, Registers) {
    write(R::status, 3);
    accept(feature_version_1 | 0x21);
    accept(feature_version_1 | 0x20);
    write(R::status, 0xb);
    accept(feature_version_1 | 0x21);
    BOOST_TEST(state.negotiated() == (feature_version_1 | 0x20));
}

BOOST_FIXTURE_TEST_CASE(steps_out_of_order_are_mistakes, Registers) {
    accept(feature_version_1);
    BOOST_TEST((write(R::status, 8).mistake == Mistake::order_of_status));
    BOOST_TEST((write(R::status, 9).mistake == Mistake::order_of_status));
    BOOST_TEST((write(R::status, 7).mistake == Mistake::ok_without_features));
    BOOST_TEST(read(R::status) == 0u);
    write(R::status, 3);
    BOOST_TEST((write(R::status, 2).mistake == Mistake::cleared_status));
    BOOST_TEST(read(R::status) == 3u);
    // Features that are refused together with DRIVER_OK in one write.
    accept(feature_version_1 | 2);
    BOOST_TEST((write(R::status, 0xf).mistake == Mistake::ok_without_features));
    BOOST_TEST(!state.running());
    // A driver that gives up.
    BOOST_TEST((write(R::status, 0x83).kind == Kind::none));
    BOOST_TEST(read(R::status) == 0x83u);
}

BOOST_FIXTURE_TEST_CASE(a_queue_is_set_up_once_it_is_selected, Registers) {
    write(R::status, 3);
    accept(feature_version_1);
    BOOST_TEST(read(R::queue_size_max) == 256u);
    write(R::queue_select, 2);
    BOOST_TEST(read(R::queue_size_max) == 0u);
    BOOST_TEST((write(R::queue_ready, 1).kind == Kind::none));
    write(R::queue_select, 1);
    BOOST_TEST(read(R::queue_size_max) == 16u);
    BOOST_TEST(read(R::queue_ready) == 0u);
    BOOST_TEST((write(R::queue_ready, 1).mistake == Mistake::queue_before_features));
    write(R::status, 0xb);
    write(R::queue_size, 8);
    write(R::queue_descriptors, 0x1000);
    write(R::queue_descriptors + 4, 1);
    write(R::queue_available, 0x2000);
    write(R::queue_used, 0x3000);
    write(R::queue_used + 4, 2);
    BOOST_TEST((write(R::queue_ready, 1).kind == Kind::none));
    BOOST_TEST(read(R::queue_ready) == 1u);
    write(R::queue_size, 4);  // too late
    write(R::queue_available, 0x5000);
    const auto& queue = state.queue(1);
    BOOST_TEST(queue.size == 8u);
    BOOST_TEST(queue.descriptors == 0x1'0000'1000u);
    BOOST_TEST(queue.available == 0x2000u);
    BOOST_TEST(queue.used == 0x2'0000'3000u);
    BOOST_TEST(!state.queue(0).ready);
}

BOOST_FIXTURE_TEST_CASE(a_size_above_the_largest_is_none, Registers) {
    write(R::queue_select, 1);
    for (const std::uint32_t size : {17U, 32U, 0x10008U}) {
        write(R::queue_size, size);
        BOOST_TEST(state.queue(1).size == 0u);
    }
}

BOOST_FIXTURE_TEST_CASE(queues_can_be_started_and_stopped_after_driver_ok, Registers) {
    write(R::status, 3);
    accept(feature_version_1);
    write(R::status, 0xf);
    BOOST_TEST(read(R::status) == 0xfu);
    write(R::queue_select, 1);
    const auto started = write(R::queue_ready, 1);
    BOOST_TEST((started.kind == Kind::start_queue));
    BOOST_TEST(started.queue == 1u);
    BOOST_TEST((write(R::queue_ready, 1).kind == Kind::none));
    BOOST_TEST((write(R::queue_ready, 0).kind == Kind::stop_queue));
    BOOST_TEST((write(R::queue_reset, 1).kind == Kind::none));  // which was not negotiated
}

BOOST_AUTO_TEST_CASE(a_queue_is_reset_where_that_was_negotiated) {
    Registers registers;
    registers.state = DeviceState(feature_version_1 | feature_ring_reset, Registers::sizes);
    registers.write(R::status, 3);
    registers.accept(feature_version_1 | feature_ring_reset);
    registers.write(R::status, 0xf);
    registers.write(R::queue_size, 8);
    registers.write(R::queue_ready, 1);
    BOOST_TEST((registers.write(R::queue_reset, 1).kind == Kind::reset_queue));
    registers.state.reset_queue(0);
    BOOST_TEST(registers.read(R::queue_ready) == 0u);
    BOOST_TEST(registers.state.queue(0).size == 256u);
    BOOST_TEST(registers.read(R::queue_reset) == 0u);
}

BOOST_FIXTURE_TEST_CASE(interrupts_stay_until_they_are_acknowledged, Registers) {
    state.raise(DeviceState::used_buffer);
    state.config_changed();
    BOOST_TEST(read(R::interrupt_status) == 1u);  // a driver that is not there hears of no change
    write(R::status, 3);
    accept(feature_version_1);
    write(R::status, 0xf);
    const auto generation = read(R::config_generation);
    state.config_changed();
    BOOST_TEST(read(R::config_generation) != generation);
    BOOST_TEST(read(R::interrupt_status) == 3u);
    write(R::interrupt_acknowledge, 1);
    BOOST_TEST(read(R::interrupt_status) == 2u);
    write(R::interrupt_acknowledge, 2);
    BOOST_TEST(read(R::interrupt_status) == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_device_that_needs_a_reset_says_so_until_it_gets_one, Registers) {
    BOOST_TEST(state.fail());
    BOOST_TEST(read(R::status) == 0x40u);
    BOOST_TEST(read(R::interrupt_status) == 0u);
    BOOST_TEST(!state.fail());
    write(R::status, 3);
    BOOST_TEST(read(R::status) == 0x43u);
    state.reset();
    write(R::status, 3);
    accept(feature_version_1);
    write(R::status, 0xf);
    BOOST_TEST(state.fail());
    BOOST_TEST(read(R::status) == 0x4fu);
    BOOST_TEST(read(R::interrupt_status) == 2u);
}

BOOST_FIXTURE_TEST_CASE(registers_have_four_bytes, Registers) {
    BOOST_TEST(read(R::magic, 1) == 0u);
    BOOST_TEST(read(R::magic + 2, 2) == 0u);
    write(R::status, 1, 1);
    BOOST_TEST(read(R::status) == 0u);
}

BOOST_AUTO_TEST_CASE(the_configuration_space_is_read_in_any_width_and_ends_with_zeros) {
    const std::array space{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}};
    BOOST_TEST(R::read_config(space, 0, 4) == 0x04030201u);
    BOOST_TEST(R::read_config(space, 1, 2) == 0x0302u);
    BOOST_TEST(R::read_config(space, 4, 1) == 5u);
    BOOST_TEST(R::read_config(space, 4, 4) == 5u);
    BOOST_TEST(R::read_config(space, 5, 4) == 0u);
    BOOST_TEST(R::read_config(space, 0xeff, 4) == 0u);
}
