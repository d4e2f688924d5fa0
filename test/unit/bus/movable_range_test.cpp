// Ranges that the guest moves, as the BARs of PCI functions are.
#include "bus/io_bus.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "bus/ioevent.hpp"
#include "bus/moving_place.hpp"
#include "bus_fixture.hpp"
#include "devices.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// A doorbell at offset 0x20, and everything else noted.
class BelledRecorder final : public Recorder {
public:
    std::vector<Doorbell> doorbells() const override { return {{.offset = 0x20, .size = 2, .data = {}}}; }
    awaitable<void> rung(std::size_t) override {
        ++rings;
        co_return;
    }
    int rings = 0;
};

struct Moving : BusFixture {
    /// What an accelerator is asked for: whether to connect, and where.
    using Asked = std::vector<std::tuple<bool, std::uint64_t>>;

    [[nodiscard]] IoEvent::Connector connector(bool can = true) {
        return {.connect =
                    [this, can](std::uint64_t address, const Doorbell&, int) {
                        asked.emplace_back(true, address);
                        return can;
                    },
                .disconnect = [this](std::uint64_t address, const Doorbell&, int) { asked.emplace_back(false, address); }};
    }

    std::shared_ptr<BelledRecorder> device = std::make_shared<BelledRecorder>();
    std::shared_ptr<MovableRange> range = bus.attach_movable(0x100, device);
    Asked asked;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(a_movable_range, Moving)

BOOST_AUTO_TEST_CASE(is_nowhere_at_first_and_then_where_it_has_been_moved_to) {
    BOOST_TEST(read(0, 1) == 0xffu);
    BOOST_TEST(read(0x4008, 1) == 0xffu);
    BOOST_TEST(bus.ranges().empty());
    range->move(0x4000);
    BOOST_TEST(read(0x4008, 1) == 0x19u);
    BOOST_TEST(bus.device_name(0x40ff) == "recorder");
    BOOST_TEST(bus.device_name(0x4100) == "");
    BOOST_TEST(bus.ranges().at(0).range.first == 0x4000u);
    range->move(0x8000);
    BOOST_TEST(read(0x4008, 1) == 0xffu);
    BOOST_TEST(read(0x8008, 1) == 0x19u);
    BOOST_REQUIRE(device->accesses.size() == 2u);
    BOOST_TEST(device->accesses[1].address == 0x8008u);
    BOOST_TEST(device->accesses[1].offset == 8u);
    range->move(std::nullopt);
    BOOST_TEST(read(0x8008, 1) == 0xffu);
    BOOST_TEST(read(0, 1) == 0xffu);
    BOOST_TEST(device->accesses.size() == 2u);
    BOOST_TEST(bus.devices().size() == 1u);
}

BOOST_AUTO_TEST_CASE(tells_where_it_is_for_as_long_as_somebody_asks) {
    bus.attach({0x100, 0x10}, std::make_shared<Recorder>());
    const auto later = bus.attach_movable(0x20, std::make_shared<Recorder>());
    later->move(0x80);
    const auto ranges = bus.movable_ranges();
    BOOST_REQUIRE(ranges.size() == 2u);
    BOOST_TEST(ranges[0].size == 0x100u);
    BOOST_TEST(ranges[0].device == "recorder");
    BOOST_TEST(!ranges[0].place->now());
    BOOST_TEST(!ranges[0].place->last());
    range->move(0x4000);
    BOOST_TEST(ranges[0].place->now().value() == 0x4000u);
    range->move(std::nullopt);
    BOOST_TEST(!ranges[0].place->now());
    BOOST_TEST(ranges[0].place->last().value() == 0x4000u);
    BOOST_TEST(ranges[1].place->now().value() == 0x80u);
    BOOST_REQUIRE(bus.standing_ranges().size() == 1u);
    BOOST_TEST(bus.standing_ranges()[0].range.first == 0x100u);
    BOOST_REQUIRE(bus.ranges().size() == 2u);
    BOOST_TEST(bus.ranges()[0].range.first == 0x80u);
}

BOOST_AUTO_TEST_CASE(does_not_hide_what_stands) {
    const auto standing = std::make_shared<Recorder>();
    bus.attach({0x4010, 0x10}, standing);
    range->move(0x4000);
    BOOST_TEST(read(0x4010, 1) == 0x11u);
    BOOST_TEST(standing->accesses.size() == 1u);
    BOOST_TEST(device->accesses.empty());
    BOOST_TEST(read(0x4020, 1) == 0x31u);
    BOOST_TEST(device->accesses.size() == 1u);
}

BOOST_AUTO_TEST_CASE(that_was_attached_first_wins_over_another) {
    const auto second = std::make_shared<Recorder>();
    const auto other = bus.attach_movable(0x1000, second);
    other->move(0x4000);
    range->move(0x4000);
    static_cast<void>(read(0x4000, 4));
    BOOST_TEST(device->accesses.size() == 1u);
    static_cast<void>(read(0x4100, 4));
    BOOST_TEST(second->accesses.size() == 1u);
}

BOOST_AUTO_TEST_CASE(is_remembered_by_a_vcpu_only_as_long_as_it_is_there) {
    range->move(0x4000);
    const auto other = std::make_shared<Recorder>();
    const auto second = bus.attach_movable(0x100, other);
    second->move(0x8000);
    IoBus::Hint hint;
    std::array<std::byte, 4> data{};
    Transaction transaction = make(Direction::read, 0x8000, 4, data);
    BOOST_TEST(static_cast<bool>(bus.try_access(transaction, 0, hint)));
    second->move(0x9000);
    BOOST_TEST(!bus.try_access(transaction, 0, hint));
    transaction.address = 0x9000;
    BOOST_TEST(static_cast<bool>(bus.try_access(transaction, 0, hint)));
    second->move(std::nullopt);
    transaction.address = 0;
    BOOST_TEST(!bus.try_access(transaction, 0, hint));
}

BOOST_AUTO_TEST_CASE(has_its_doorbells_connected_when_the_guest_rings_and_disconnected_when_it_moves) {
    const auto ioevent = bus.ioevents().at(0);
    range->move(0x4000);
    ioevent->connect(connector());
    BOOST_TEST(asked.empty());  // a guest that only looks how large it is costs nothing
    range->move(0x5000);
    write(0x5020, 2, 7);
    write(0x5020, 2, 7);
    BOOST_TEST((asked == Asked{{true, 0x5020}}));
    range->move(0x6000);
    BOOST_TEST((asked == Asked{{true, 0x5020}, {false, 0x5020}}));
    write(0x5020, 2, 7);
    write(0x6020, 4, 7);
    BOOST_TEST(asked.size() == 2u);
    write(0x6020, 2, 7);
    BOOST_TEST((asked.back() == std::tuple(true, std::uint64_t{0x6020})));
    range->move(std::nullopt);
    BOOST_TEST((asked.back() == std::tuple(false, std::uint64_t{0x6020})));
    BOOST_TEST(device->accesses.size() == 1u);  // that of 4 bytes
}

BOOST_AUTO_TEST_CASE(asks_an_accelerator_that_cannot_ring_once_a_place) {
    const auto ioevent = bus.ioevents().at(0);
    ioevent->connect(connector(false));
    range->move(0x4000);
    write(0x4020, 2, 7);
    write(0x4020, 2, 7);
    BOOST_TEST(asked.size() == 1u);
    range->move(0x5000);
    BOOST_TEST(asked.size() == 1u);
    write(0x5020, 2, 7);
    BOOST_TEST(asked.size() == 2u);
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

awaitable<void> read_many(IoBus& bus, unsigned cpu, int times, bool& right) {
    std::array<std::byte, 1> data{};
    for (int i = 0; i < times; ++i) {
        Transaction transaction = BusFixture::make(Direction::read, 0x4000, 1, data);
        co_await bus.perform(transaction, cpu);
        const auto value = std::to_integer<unsigned>(data[0]);
        if (value != 0x11 && value != 0xff) right = false;
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_movable_range_may_move_while_vcpus_use_it) {
    Moving moving;
    moving.bus.ioevents().at(0)->connect(moving.connector());
    std::array<asio::io_context, 2> contexts;
    std::array<bool, 2> right{true, true};
    std::vector<std::thread> threads;
    for (unsigned cpu = 0; cpu < contexts.size(); ++cpu) {
        asio::co_spawn(contexts[cpu], read_many(moving.bus, cpu, 5000, right[cpu]), [](std::exception_ptr) {});
        threads.emplace_back([&context = contexts[cpu]] { context.run(); });
    }
    for (int i = 0; i < 2000; ++i) {
        moving.range->move(i % 2 == 0 ? std::optional<std::uint64_t>(0x4000) : std::nullopt);
    }
    for (auto& thread : threads) thread.join();
    BOOST_TEST(right[0]);
    BOOST_TEST(right[1]);
}

BOOST_AUTO_TEST_CASE(a_movable_range_outlives_its_bus) {
    std::shared_ptr<MovableRange> range;
    {
        Moving moving;
        moving.bus.ioevents().at(0)->connect(moving.connector());
        range = moving.range;
        range->move(0x4000);
        moving.write(0x4020, 2, 7);
    }
    range->move(0x5000);
}
