// A virtio device whose rings another process serves: what its author hears of the driver.
#include <boost/test/unit_test.hpp>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mmio_driver.hpp"

using namespace asyncvm;
using namespace asyncvm::virtio;

using R = MmioRegisters;

namespace {

/// Notes what it gets. A ring comes back when `returns` says so.
class Elsewhere final : public virtio::Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "virtio-elsewhere"; }
    [[nodiscard]] std::uint32_t id() const noexcept override { return 43; }
    [[nodiscard]] std::vector<QueueShape> queues() const override { return {{.size = 8}, {.size = 8}}; }
    [[nodiscard]] std::uint64_t refused_features() const override { return feature_event_index; }
    [[nodiscard]] bool hands_rings_over() const noexcept override { return true; }
    [[nodiscard]] awaitable<void> serve(Queue&) override {
        BOOST_ERROR("a ring that is handed over is served here");
        co_return;
    }
    void take_ring(const RingSetup& ring) override {
        taken.push_back(ring);
        features = negotiated();
    }
    [[nodiscard]] awaitable<void> return_ring(unsigned queue) override {
        returning.push_back(queue);
        if (back) co_await back->wait();
    }
    [[nodiscard]] int notification(unsigned queue) const noexcept override { return 100 + static_cast<int>(queue); }

    using Device::interrupt;
    using Device::need_reset;

    std::vector<RingSetup> taken;
    std::vector<unsigned> returning;
    std::shared_ptr<OneShot> back;
    std::uint64_t features = 0;
};

struct ElsewhereDriver : MmioDriver {
    ElsewhereDriver() : ElsewhereDriver(std::make_shared<Elsewhere>()) {}
    explicit ElsewhereDriver(std::shared_ptr<Elsewhere> of) : MmioDriver(of), elsewhere(std::move(of)) {}
    std::shared_ptr<Elsewhere> elsewhere;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_ring_is_handed_over_when_the_driver_is_ready, ElsewhereDriver) {
    BOOST_TEST((offered() & feature_event_index) == 0u);
    BOOST_REQUIRE(negotiate(feature_version_1 | feature_indirect));
    rings.push_back(std::make_unique<RingDriver>(memory, 0x1000, std::uint16_t{4}));
    set_up_queue(0, ring());
    BOOST_TEST(elsewhere->taken.empty());
    be_ready();
    BOOST_REQUIRE(elsewhere->taken.size() == 1u);
    const RingSetup& taken = elsewhere->taken[0];
    BOOST_TEST(taken.queue == 0u);
    BOOST_TEST(taken.size == 4u);
    BOOST_TEST(taken.descriptors == ring().descriptors());
    BOOST_TEST(taken.available == ring().available());
    BOOST_TEST(taken.used == ring().used());
    BOOST_TEST(elsewhere->features == (feature_version_1 | feature_indirect));
    elsewhere->interrupt(0);
    BOOST_TEST(acknowledge() == 1u);
}

BOOST_FIXTURE_TEST_CASE(notifications_go_to_the_device_s_eventfds, ElsewhereDriver) {
    const auto bells = device->doorbells();
    BOOST_REQUIRE(bells.size() == 2u);
    BOOST_TEST(bells[0].eventfd == 100);
    BOOST_TEST(bells[1].eventfd == 101);
}

BOOST_FIXTURE_TEST_CASE(the_driver_waits_for_a_reset_until_the_rings_are_back, ElsewhereDriver) {
    start(feature_version_1, 2);
    elsewhere->back = std::make_shared<OneShot>();
    begin_write(R::status, 0);
    BOOST_TEST(!write_done);
    BOOST_TEST(read(R::status) == 0xfu);
    const auto first = std::exchange(elsewhere->back, nullptr);
    first->complete();
    poll();
    BOOST_TEST(write_done);
    BOOST_TEST(read(R::status) == 0u);
    BOOST_TEST(elsewhere->returning == (std::vector<unsigned>{0, 1}), boost::test_tools::per_element());
    start(feature_version_1, 2);
    BOOST_TEST(elsewhere->taken.size() == 4u);
}

BOOST_FIXTURE_TEST_CASE(one_ring_comes_back_when_its_queue_is_reset, ElsewhereDriver) {
    start(feature_version_1 | feature_ring_reset, 2);
    write(R::queue_select, 1);
    write(R::queue_reset, 1);
    BOOST_TEST(elsewhere->returning == std::vector<unsigned>{1}, boost::test_tools::per_element());
    set_up_queue(1, ring(1));
    BOOST_REQUIRE(elsewhere->taken.size() == 3u);
    BOOST_TEST(elsewhere->taken[2].queue == 1u);
}

BOOST_FIXTURE_TEST_CASE(rings_come_back_at_the_machine_s_reset_and_at_its_end, ElsewhereDriver) {
    start(feature_version_1, 1);
    asio::co_spawn(loop, device->before_reset(), [](std::exception_ptr) {});
    poll();
    BOOST_TEST(elsewhere->returning.size() == 1u);
    device->reset();
    start(feature_version_1, 1);
    stop_run.emit(asio::cancellation_type::terminal);
    poll();
    BOOST_TEST(run_ended);
    BOOST_TEST(elsewhere->returning.size() == 2u);
}

BOOST_FIXTURE_TEST_CASE(a_ring_that_can_not_go_on_needs_a_reset, ElsewhereDriver) {
    start();
    elsewhere->need_reset("nobody serves it");
    BOOST_TEST((read(R::status) & DeviceState::needs_reset_bit) != 0u);
    BOOST_TEST(acknowledge() == 2u);
    BOOST_REQUIRE(log.size() == 1u);
    BOOST_TEST(log[0] == "device virtio-elsewhere: nobody serves it; the driver has to reset the device");
}
