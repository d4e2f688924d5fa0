#include <boost/test/unit_test.hpp>

#include <array>
#include <thread>

#include "stats/machine_recorder.hpp"

using namespace asyncvm;
using namespace asyncvm::stats;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t counter = 0;
constexpr std::size_t other_ports = 1;
constexpr std::size_t disk = 2;
constexpr std::size_t port_exits = 0;
constexpr std::size_t memory_exits = 1;

/// A vCPU whose time passes as the test says.
struct OneCpu {
    template <typename Kind>
    static Exit access(Direction direction, std::uint64_t address, std::size_t bytes = 1) {
        static std::array<std::byte, 64> data;
        Kind access;
        access.space = std::is_same_v<Kind, PortAccess> ? Space::port : Space::memory;
        access.direction = direction;
        access.address = address;
        access.data = std::span(data).first(bytes);
        return access;
    }

    /// In the guest for `in_guest`, then in the device for `in_device`.
    void exit(const Exit& exit, Clock::duration in_guest, Clock::duration in_device) {
        cpu().entering(now);
        now += in_guest;
        cpu().exited(exit, now);
        now += in_device;
    }

    CpuRecorder& cpu() { return machine.cpu(0); }

    Clock::time_point now = Clock::time_point(1h);
    MachineRecorder machine{Places({{{.first = 0x10, .size = 1}, "counter"}}, {{{.first = 0x1000, .size = 16}, "disk"}}), 1,
                            now};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(recorder, OneCpu)

BOOST_AUTO_TEST_CASE(before_the_first_exit_all_is_zero) {
    const auto statistics = machine.snapshot(now + 3s);
    BOOST_TEST((statistics.elapsed == 3s));
    BOOST_TEST(statistics.exits.size() == std::variant_size_v<Exit>);
    for (const auto& exits : statistics.exits) BOOST_TEST(exits.count == 0U);
    BOOST_TEST((statistics.cpus.at(0).state == CpuStatistics::State::not_started));
}

BOOST_AUTO_TEST_CASE(an_access_that_is_answered_at_once_has_no_waiting) {
    exit(access<PortAccess>(Direction::read, 0x10, 4), 30us, 5us);
    cpu().ended(now);
    const auto statistics = machine.snapshot(now);
    BOOST_TEST(statistics.exits.at(port_exits).count == 1U);
    const auto& place = statistics.places.at(counter);
    BOOST_TEST(place.device == "counter");
    BOOST_TEST(place.reads == 1U);
    BOOST_TEST(place.writes == 0U);
    BOOST_TEST(place.bytes == 4U);
    BOOST_TEST(place.in_guest.count == 1U);
    BOOST_TEST((place.in_guest.total == 30us));
    BOOST_TEST((place.in_device.total == 5us));
    BOOST_TEST(place.waiting.count == 0U);
    BOOST_TEST((statistics.cpus.at(0).in_guest == 30us));
    BOOST_TEST((statistics.cpus.at(0).in_device == 5us));
    BOOST_TEST(statistics.cpus.at(0).wake_ups == 0U);
}

BOOST_AUTO_TEST_CASE(waiting_begins_at_the_first_suspension) {
    exit(access<MmioAccess>(Direction::write, 0x100f), 1us, 2us);
    cpu().suspended(now);
    now += 10us;
    cpu().resumed();
    cpu().suspended(now);
    now += 20us;
    cpu().resumed();
    cpu().entering(now);
    const auto statistics = machine.snapshot(now);
    const auto& place = statistics.places.at(disk);
    BOOST_TEST(place.writes == 1U);
    BOOST_TEST((place.in_device.total == 32us));
    BOOST_TEST(place.waiting.count == 1U);
    BOOST_TEST((place.waiting.total == 30us));
    BOOST_TEST(statistics.exits.at(memory_exits).count == 1U);
    BOOST_TEST(statistics.cpus.at(0).wake_ups == 2U);
}

BOOST_AUTO_TEST_CASE(what_waits_now_is_shown_with_its_place_and_for_how_long) {
    exit(access<PortAccess>(Direction::write, 0x10), 1us, 0us);
    BOOST_TEST((machine.snapshot(now).cpus.at(0).state == CpuStatistics::State::in_device));
    cpu().suspended(now);
    const auto waiting = machine.snapshot(now + 7s).cpus.at(0);
    BOOST_TEST((waiting.state == CpuStatistics::State::waiting));
    BOOST_TEST((waiting.since == 7s));
    BOOST_TEST(waiting.place.value() == counter);
    BOOST_TEST(waiting.in_device.count() == 0);
    cpu().entering(now + 8s);
    const auto running = machine.snapshot(now + 9s).cpus.at(0);
    BOOST_TEST((running.state == CpuStatistics::State::in_guest));
    BOOST_TEST((running.since == 1s));
    BOOST_TEST(!running.place);
    BOOST_TEST((running.waiting == 8s));
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_rests_after_a_kick_is_in_no_device) {
    exit(Interrupted{}, 1us, 0us);
    const auto resting = machine.snapshot(now + 7s).cpus.at(0);
    BOOST_TEST((resting.state == CpuStatistics::State::stopped));
    BOOST_TEST((resting.since == 7s));
    BOOST_TEST(!resting.place);
    cpu().entering(now + 8s);
    BOOST_TEST((machine.snapshot(now + 8s).cpus.at(0).in_device.count() == 0));
}

BOOST_AUTO_TEST_CASE(an_access_that_ends_with_the_run_is_counted_until_then) {
    exit(access<PortAccess>(Direction::write, 0x10), 1us, 1us);
    cpu().suspended(now);
    cpu().ended(now + 4us);
    machine.finish(now + 4us);
    const auto statistics = machine.snapshot(now + 1h);
    BOOST_TEST((statistics.places.at(counter).in_device.total == 5us));
    BOOST_TEST((statistics.places.at(counter).waiting.total == 4us));
    BOOST_TEST((statistics.elapsed == 6us));
    BOOST_TEST((statistics.cpus.at(0).state == CpuStatistics::State::ended));
}

BOOST_AUTO_TEST_CASE(what_has_no_device_counts_too) {
    exit(access<PortAccess>(Direction::read, 0x64), 1us, 1us);
    exit(access<PortAccess>(Direction::write, 0x70), 1us, 1us);
    cpu().ended(now);
    const auto place = machine.snapshot(now).places.at(other_ports);
    BOOST_TEST(place.device == "");
    BOOST_TEST(place.reads == 1U);
    BOOST_TEST(place.writes == 1U);
}

BOOST_AUTO_TEST_CASE(other_exits_count_by_kind_and_have_no_place) {
    exit(Interrupted{}, 1us, 0us);
    exit(Interrupted{}, 1us, 0us);
    exit(Halted{}, 1us, 0us);
    cpu().ended(now);
    const auto statistics = machine.snapshot(now);
    for (const auto& exits : statistics.exits) {
        const auto expected = exits.kind == "interrupted" ? 2U : exits.kind == "halted" ? 1U : 0U;
        BOOST_TEST(exits.count == expected, exits.kind);
    }
    BOOST_TEST((statistics.cpus.at(0).in_guest == 3us));
    BOOST_TEST((statistics.cpus.at(0).in_device == 0us));
}

BOOST_AUTO_TEST_CASE(posted_writes_come_from_any_thread) {
    std::array<std::byte, 10> data{};
    const auto post = [&](Space space, std::uint64_t address, std::size_t count) {
        machine.posted({.space = space,
                        .direction = Direction::write,
                        .size = 2,
                        .address = address,
                        .data = std::span(data).first(2 * count)});
    };
    std::thread other([&] { post(Space::memory, 0x1008, 5); });
    post(Space::memory, 0x1000, 1);
    post(Space::port, 0x10, 2);
    other.join();
    const auto statistics = machine.snapshot(now);
    BOOST_TEST(statistics.places.at(disk).posted == 6U);
    BOOST_TEST(statistics.places.at(counter).posted == 2U);
    BOOST_TEST(statistics.places.at(other_ports).posted == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
