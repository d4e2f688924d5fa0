#define BOOST_TEST_MODULE statistics
#include <asyncvm/event.hpp>
#include <asyncvm/statistics.hpp>

#include <asio/detached.hpp>

#include <algorithm>
#include <memory>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

struct Counted {
    asio::io_context loop{1};

    TestMachine machine(unsigned cpus = 1) {
        return TestMachine(loop, cpus, make_accelerator_under_test(),
                           [](MachineConfig& config) { config.statistics = true; });
    }
};

const PlaceStatistics& place_at(const Statistics& statistics, Space space, std::uint64_t address) {
    const auto found = std::ranges::find_if(statistics.places, [space, address](const PlaceStatistics& place) {
        return place.space == space && address - place.range.first < place.range.size;
    });
    BOOST_REQUIRE((found != statistics.places.end()));
    return *found;
}

std::uint64_t exits(const Statistics& statistics, std::string_view kind) {
    const auto found = std::ranges::find(statistics.exits, kind, &ExitCount::kind);
    BOOST_REQUIRE((found != statistics.exits.end()));
    return found->count;
}

/// Its writes need no answer.
class Posts : public Recorder {
public:
    bool posts(std::uint64_t) const noexcept override { return true; }
};

/// Asks for statistics when a read of `device` waits, and lets the guest go on.
awaitable<void> look_while_it_waits(Slow& device, Machine& machine, Statistics& seen) {
    co_await device.arrived.wait(0);
    for (;;) {
        seen = machine.statistics();
        if (seen.cpus.at(0).state == CpuStatistics::State::waiting) break;
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
    }
    device.released.notify();
}

/// Asks for statistics again and again, as long as the machine runs.
awaitable<void> keep_looking(Machine& machine, const TestMachine& test, std::uint64_t& looks) {
    while (!test.outcome) {
        static_cast<void>(format_statistics(machine.statistics()));
        ++looks;
        co_await asio::post(co_await asio::this_coro::executor, use_awaitable);
    }
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(counts, Counted)

BOOST_AUTO_TEST_CASE(each_exit_counts_at_its_place) {
    auto test = machine();
    test.machine.ports().attach({0x10, 8}, std::make_shared<Recorder>());
    test.machine.mmio().attach({0xd000'0000, 4}, std::make_shared<Recorder>());
    // in $0x10, %al; in $0x10, %eax; out %al, $0x17; out %al, $0x64; mov %eax, 0xd0000000; hlt
    test.load({0xe4, 0x10, 0xe5, 0x10, 0xe6, 0x17, 0xe6, 0x64, 0xa3, 0x00, 0x00, 0x00, 0xd0, 0xf4}, Mode::protected32);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    const auto statistics = test.machine.statistics();
    BOOST_TEST(exits(statistics, "port") == 4U);
    BOOST_TEST(exits(statistics, "memory") == 1U);
    BOOST_TEST(exits(statistics, "halted") == 1U);
    const auto& ports = place_at(statistics, Space::port, 0x10);
    BOOST_TEST(ports.device == "recorder");
    BOOST_TEST(ports.range.size == 8U);
    BOOST_TEST(ports.reads == 2U);
    BOOST_TEST(ports.writes == 1U);
    BOOST_TEST(ports.bytes == 6U);
    BOOST_TEST(ports.in_guest.count == 3U);
    BOOST_TEST(ports.in_device.count == 3U);
    BOOST_TEST(ports.waiting.count == 0U);
    BOOST_TEST(place_at(statistics, Space::port, 0x64).writes == 1U);
    BOOST_TEST(place_at(statistics, Space::port, 0x64).device == "");
    BOOST_REQUIRE(statistics.unclaimed.size() == 1U);
    BOOST_TEST(statistics.unclaimed[0].at.address == 0x64U);
    BOOST_TEST(statistics.unclaimed[0].at.writes == 1U);
    BOOST_TEST(place_at(statistics, Space::memory, 0xd000'0000).bytes == 4U);
    const auto& cpu = statistics.cpus.at(0);
    BOOST_TEST((cpu.state == CpuStatistics::State::ended));
    BOOST_TEST((cpu.in_guest > 0ns));
    BOOST_TEST((cpu.in_guest + cpu.in_device <= statistics.elapsed));
    BOOST_TEST((statistics.elapsed == test.machine.statistics().elapsed), "time goes on after the run's end");
}

BOOST_AUTO_TEST_CASE(accesses_of_a_range_that_moves_are_its_device_s) {
    auto test = machine();
    const auto range = test.machine.mmio().attach_movable(0x1000, std::make_shared<Recorder>());
    const auto idle = test.machine.mmio().attach_movable(0x1000, std::make_shared<Recorder>());
    class Mover final : public Recorder {
    public:
        explicit Mover(MovableRange& range) : range_(range) {}
        awaitable<void> write(const Access&) override {
            range_.move(0xd000'0000);
            co_return;
        }

    private:
        MovableRange& range_;
    };
    test.machine.ports().attach({0x10}, std::make_shared<Mover>(*range));
    // mov %eax, 0xd0000010; out %al, $0x10; mov %eax, 0xd0000010; mov 0xd0000014, %eax; hlt
    test.load({0xa3, 0x10, 0x00, 0x00, 0xd0, 0xe6, 0x10, 0xa3, 0x10, 0x00, 0x00, 0xd0, 0xa1, 0x14, 0x00, 0x00, 0xd0, 0xf4},
              Mode::protected32);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    const auto statistics = test.machine.statistics();
    const auto& moved = place_at(statistics, Space::memory, 0xd000'0010);
    BOOST_TEST(moved.device == "recorder");
    BOOST_TEST(moved.range.first == 0xd000'0000U);
    BOOST_TEST(moved.writes == 1U);
    BOOST_TEST(moved.reads == 1U);
    BOOST_TEST(moved.in_device.count == 2U);
    const auto& other = place_at(statistics, Space::memory, 0);
    BOOST_TEST(other.device == "");
    BOOST_TEST(other.writes == 1U);
    BOOST_TEST(other.reads == 0U);
    const auto text = format_statistics(statistics);
    BOOST_TEST(text.find("mem:0xd0000000-0xd0000fff  recorder") != text.npos, text);
    BOOST_TEST(text.find(" recorder=mem:nowhere") != text.npos, text);
}

BOOST_AUTO_TEST_CASE(an_access_that_suspends_waits_and_is_shown_while_it_does) {
    auto test = machine();
    const auto slow = std::make_shared<Slow>();
    test.machine.ports().attach({0x10, 1}, slow);
    // in $0x10, %al; hlt
    test.load({0xe4, 0x10, 0xf4});
    Statistics during;
    asio::co_spawn(loop, look_while_it_waits(*slow, test.machine, during), asio::detached);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    BOOST_REQUIRE(during.cpus.size() == 1U);
    BOOST_REQUIRE(during.cpus[0].place);
    BOOST_TEST(during.places.at(*during.cpus[0].place).device == "slow");
    BOOST_TEST(place_at(during, Space::port, 0x10).reads == 1U);
    BOOST_TEST(place_at(during, Space::port, 0x10).in_device.count == 0U);
    const auto statistics = test.machine.statistics();
    const auto& place = place_at(statistics, Space::port, 0x10);
    BOOST_TEST(place.waiting.count == 1U);
    BOOST_TEST((place.waiting.total > 0ns));
    BOOST_TEST((place.waiting.total <= place.in_device.total));
    BOOST_TEST(statistics.cpus[0].wake_ups == 1U);
}

BOOST_AUTO_TEST_CASE(an_access_on_the_device_loop_waits_and_wakes_the_loop) {
    auto test = machine();
    test.machine.ports().attach({0x10, 1}, std::make_shared<Recorder>(8, Affinity::device_loop));
    // mov $100, %cx; again: out %al, $0x10; loop again; hlt
    test.load({0xb9, 0x64, 0x00, 0xe6, 0x10, 0xe2, 0xfc, 0xf4});
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    const auto statistics = test.machine.statistics();
    BOOST_TEST(place_at(statistics, Space::port, 0x10).waiting.count == 100U);
    BOOST_TEST(statistics.cpus.at(0).wake_ups == 100U);
    BOOST_TEST(statistics.loop_wake_ups > 0U);
}

BOOST_AUTO_TEST_CASE(a_write_is_an_exit_or_posted) {
    auto test = machine();
    const auto device = std::make_shared<Posts>();
    test.machine.ports().attach({0x10, 1}, device);
    // mov $50000, %ecx; again: out %al, $0x10; dec %ecx; jnz again; hlt
    test.load({0xb9, 0x50, 0xc3, 0x00, 0x00, 0xe6, 0x10, 0x49, 0x75, 0xfb, 0xf4}, Mode::protected32);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    const auto statistics = test.machine.statistics();
    const auto& place = place_at(statistics, Space::port, 0x10);
    BOOST_TEST(place.writes + place.posted == 50'000U);
    BOOST_TEST(place.posted == test.machine.posted_writes());
    BOOST_TEST(exits(statistics, "port") == place.writes);
    BOOST_TEST(device->accesses.size() == 50'000U);
}

BOOST_AUTO_TEST_CASE(they_can_be_asked_for_while_all_vcpus_are_busy) {
    auto test = machine(2);
    const auto shared = std::make_shared<Recorder>();
    test.machine.ports().attach({0x10, 1}, shared);
    // mov $2000, %cx; again: out %al, $0x10; loop again; hlt
    test.load({0xb9, 0xd0, 0x07, 0xe6, 0x10, 0xe2, 0xfc, 0xf4});
    std::uint64_t looks = 0;
    asio::co_spawn(loop, keep_looking(test.machine, test, looks), asio::detached);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    BOOST_TEST(looks > 0U);
    const auto statistics = test.machine.statistics();
    BOOST_TEST(place_at(statistics, Space::port, 0x10).writes == 4000U);
    BOOST_TEST(place_at(statistics, Space::port, 0x10).in_device.count == 4000U);
    BOOST_TEST(exits(statistics, "halted") == 2U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(a_machine_that_was_not_asked_to_counts_nothing) {
    asio::io_context loop{1};
    TestMachine test(loop);
    test.load({0xe6, 0x10, 0xf4});
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    BOOST_TEST(test.machine.statistics().exits.empty());
    BOOST_TEST(test.machine.statistics().places.empty());
}
