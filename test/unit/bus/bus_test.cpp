#define BOOST_TEST_MODULE bus
#include "bus/io_bus.hpp"

#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstring>

#include "bus_fixture.hpp"
#include "devices.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

using Fixture = BusFixture;

BOOST_FIXTURE_TEST_SUITE(one_vcpu, Fixture)

BOOST_AUTO_TEST_CASE(absent_ports_read_all_ones_and_swallow_writes) {
    BOOST_TEST(read(0x3fd, 1) == 0xffu);
    BOOST_TEST(read(0x3fd, 2) == 0xffffu);
    BOOST_TEST(read(0xcf8, 4) == 0xffff'ffffu);
    write(0x80, 4, 1);
    BOOST_TEST(bus.unclaimed() == 4u);
    const auto at = bus.unclaimed_addresses();
    BOOST_REQUIRE(at.size() == 3u);
    BOOST_TEST(at[0].address == 0x3fdu);
    BOOST_TEST(at[0].reads == 2u);
    BOOST_TEST(at[0].writes == 0u);
    BOOST_TEST(at[1].address == 0xcf8u);
    BOOST_TEST(at[2].address == 0x80u);
    BOOST_TEST(at[2].writes == 1u);
}

BOOST_AUTO_TEST_CASE(absent_addresses_are_kept_up_to_a_number) {
    for (std::uint64_t port = 0; port < 100; ++port) static_cast<void>(read(0x1000 + port, 1));
    static_cast<void>(read(0x1000, 1));
    BOOST_TEST(bus.unclaimed() == 101u);
    const auto at = bus.unclaimed_addresses();
    BOOST_REQUIRE(at.size() == 16u);
    BOOST_TEST(at.front().reads == 2u);
    BOOST_TEST(at.back().address == 0x100fu);
}

BOOST_AUTO_TEST_CASE(an_access_reaches_its_device_with_address_offset_size_and_data) {
    const auto device = std::make_shared<Recorder>();
    bus.attach({0x10, 4}, device);
    write(0x12, 2, 0xbeef);
    BOOST_REQUIRE(device->accesses.size() == 1u);
    const Access& access = device->accesses.front();
    BOOST_TEST(access.address == 0x12u);
    BOOST_TEST(access.offset == 2u);
    BOOST_TEST(access.size == 2);
    BOOST_TEST(access.data == 0xbeefu);
    BOOST_TEST((access.space == Space::port));
    BOOST_TEST(read(0x11, 1) == 0x12u);
    BOOST_TEST(read(0x10, 4) == 0x4433'2211u);
    BOOST_TEST(bus.unclaimed() == 0u);
}

BOOST_AUTO_TEST_CASE(neighbours_do_not_get_each_others_accesses) {
    const auto low = std::make_shared<Recorder>();
    const auto high = std::make_shared<Recorder>();
    bus.attach({0x20, 1}, high);
    bus.attach({0x1f, 1}, low);
    write(0x1f, 1, 1);
    write(0x20, 1, 2);
    write(0x21, 1, 3);
    write(0x1e, 1, 4);
    BOOST_REQUIRE(low->accesses.size() == 1u);
    BOOST_REQUIRE(high->accesses.size() == 1u);
    BOOST_TEST(low->accesses[0].data == 1u);
    BOOST_TEST(high->accesses[0].data == 2u);
}

BOOST_AUTO_TEST_CASE(a_whole_range_takes_wide_accesses_past_its_end) {
    const auto console = std::make_shared<Recorder>();
    const auto exit = std::make_shared<Recorder>();
    bus.attach({0xf1, 1, true}, console);
    bus.attach({0xf4, 1, true}, exit);
    write(0xf1, 4, 0x6c6c'6548);
    BOOST_REQUIRE(console->accesses.size() == 1u);
    BOOST_TEST(console->accesses[0].size == 4);
    BOOST_TEST(console->accesses[0].data == 0x6c6c'6548u);
    BOOST_TEST(exit->accesses.empty());
    write(0xf2, 1, 0);
    BOOST_TEST(console->accesses.size() == 1u);
}

BOOST_AUTO_TEST_CASE(one_device_may_have_several_ranges) {
    const auto device = std::make_shared<Recorder>();
    bus.attach({0xe9, 1}, device);
    bus.attach({0x402, 1}, device);
    write(0xe9, 1, 1);
    write(0x402, 1, 2);
    BOOST_TEST(device->accesses.size() == 2u);
    BOOST_TEST(bus.devices().size() == 1u);
    BOOST_TEST(bus.device_name(0x402) == "recorder");
    BOOST_TEST(bus.device_name(0x403).empty());
}

BOOST_AUTO_TEST_CASE(a_wide_access_to_a_narrow_device_becomes_narrow_ones_from_the_lowest_address_up) {
    const auto device = std::make_shared<Recorder>(1);
    bus.attach({0x3f8, 8}, device);
    write(0x3f8, 4, 0x44332211);
    BOOST_REQUIRE(device->accesses.size() == 4u);
    for (unsigned i = 0; i < 4; ++i) {
        BOOST_TEST(device->accesses[i].offset == i);
        BOOST_TEST(device->accesses[i].size == 1);
        BOOST_TEST(device->accesses[i].data == 0x11u * (i + 1));
    }
    BOOST_TEST(read(0x3f8, 2) == 0x1211u);
}

BOOST_AUTO_TEST_CASE(an_access_across_the_end_of_a_range_reaches_both_sides) {
    const auto device = std::make_shared<Recorder>();
    bus.attach({0x10, 1}, device);
    BOOST_TEST(read(0x10, 4) == 0xffff'ff11u);
    BOOST_TEST(read(0xf, 2) == 0x11ffu);
    BOOST_TEST(device->accesses.size() == 2u);
}

BOOST_AUTO_TEST_CASE(a_string_is_delivered_element_by_element_in_order) {
    const auto device = std::make_shared<Recorder>();
    bus.attach({0x10, 2}, device);
    std::array<std::byte, 6> data{std::byte{1}, std::byte{0}, std::byte{2}, std::byte{0}, std::byte{3}, std::byte{0}};
    Transaction transaction = make(Direction::write, 0x10, 2, data);
    perform(transaction);
    BOOST_REQUIRE(device->accesses.size() == 3u);
    for (unsigned i = 0; i < 3; ++i) BOOST_TEST(device->accesses[i].data == i + 1);
    Transaction input = make(Direction::read, 0x10, 2, data);
    perform(input);
    BOOST_TEST(device->accesses.size() == 6u);
    BOOST_TEST(static_cast<int>(data[4]) == 0x11);
    BOOST_TEST(static_cast<int>(data[5]) == 0x22);
}

BOOST_AUTO_TEST_CASE(a_string_for_an_absent_port_reads_all_ones) {
    std::array<std::byte, 9> data{};
    Transaction transaction = make(Direction::read, 0x60, 1, data);
    perform(transaction);
    BOOST_TEST(std::ranges::all_of(data, [](std::byte b) { return b == std::byte{0xff}; }));
}

BOOST_AUTO_TEST_CASE(a_device_that_throws_is_reported_once_and_reads_as_absent) {
    const auto device = std::make_shared<Broken>();
    bus.attach({0x10, 1}, device);
    BOOST_TEST(read(0x10, 1) == 0xffu);
    BOOST_TEST(read(0x10, 1) == 0xffu);
    write(0x10, 1, 0);
    BOOST_TEST(device->accesses == 1);
    BOOST_REQUIRE(told.size() == 1u);
    BOOST_TEST(told.front() == "device broken failed at port 0x10 and is detached: out of smoke");
}

BOOST_AUTO_TEST_CASE(ranges_that_overlap_are_refused_with_both_names) {
    bus.attach({0x3f8, 8}, std::make_shared<Recorder>());
    const auto broken = std::make_shared<Broken>();
    BOOST_CHECK_EXCEPTION(bus.attach({0x3ff, 2}, broken), Error, [](const Error& error) {
        const std::string what = error.what();
        return error.kind() == ErrorKind::usage && what.find("broken") != std::string::npos &&
               what.find("recorder") != std::string::npos && what.find("0x3f8") != std::string::npos;
    });
    bus.attach({0x400, 1}, broken);
    BOOST_CHECK_THROW(bus.attach({0x10000, 1}, broken), Error);
    BOOST_CHECK_THROW(bus.attach({0xffff, 2}, broken), Error);
    BOOST_CHECK_THROW(bus.attach({0x500, 0}, broken), Error);
}

BOOST_AUTO_TEST_CASE(the_last_port_is_a_port) {
    const auto device = std::make_shared<Recorder>();
    bus.attach({0xffff, 1}, device);
    write(0xffff, 2, 0x0201);
    BOOST_REQUIRE(device->accesses.size() == 1u);
    BOOST_TEST(device->accesses[0].data == 1u);
}

BOOST_AUTO_TEST_SUITE_END()

namespace {

awaitable<void> read_once(IoBus& bus, unsigned cpu, std::vector<unsigned>& answered) {
    std::array<std::byte, 1> data{};
    Transaction transaction = Fixture::make(Direction::read, 0x10, 1, data);
    co_await bus.perform(transaction, cpu);
    answered.push_back(static_cast<unsigned>(data[0]));
}

}  // namespace

BOOST_AUTO_TEST_CASE(accesses_to_one_device_wait_for_each_other_in_order) {
    asio::io_context loop{1};
    IoBus bus{Space::port, loop, {}};
    const auto device = std::make_shared<Slow>();
    bus.attach({0x10, 1}, device);
    std::vector<unsigned> answered;
    for (unsigned cpu = 0; cpu < 3; ++cpu) {
        asio::co_spawn(loop, read_once(bus, cpu, answered), [](std::exception_ptr e) { BOOST_TEST(!e); });
        loop.poll();
    }
    BOOST_TEST(device->began.size() == 1u);
    BOOST_TEST(answered.empty());
    device->released.notify();
    loop.poll();
    BOOST_TEST(device->began.size() == 2u);
    BOOST_TEST(answered.size() == 1u);
    device->released.notify();
    device->released.notify();
    loop.run();
    const std::vector<unsigned> in_order{0, 1, 2};
    BOOST_TEST(answered == in_order, boost::test_tools::per_element());
    BOOST_TEST(device->began == in_order, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_cancelled_access_leaves_the_device_to_the_next) {
    asio::io_context loop{1};
    std::vector<std::string> told;
    IoBus bus{Space::port, loop, [&told](std::string_view line) { told.emplace_back(line); }};
    const auto device = std::make_shared<Slow>();
    bus.attach({0x10, 1}, device);
    std::vector<unsigned> answered;
    std::array<asio::cancellation_signal, 3> cancel;
    int aborted = 0;
    for (unsigned cpu = 0; cpu < 3; ++cpu) {
        asio::co_spawn(loop, read_once(bus, cpu, answered),
                       asio::bind_cancellation_slot(cancel[cpu].slot(), [&aborted](std::exception_ptr e) {
                           if (e) ++aborted;
                       }));
        loop.poll();
    }
    // The one that is inside the device, and one that waits for its turn.
    cancel[0].emit(asio::cancellation_type::terminal);
    cancel[1].emit(asio::cancellation_type::terminal);
    loop.poll();
    BOOST_TEST(aborted == 2);
    device->released.notify();
    device->released.notify();
    loop.run();
    const std::vector<unsigned> the_third{2};
    BOOST_TEST(answered == the_third, boost::test_tools::per_element());
    BOOST_TEST(told.empty());
}

BOOST_AUTO_TEST_CASE(a_device_of_the_loop_runs_there_and_answers_here) {
    asio::io_context device_loop{1};
    asio::io_context vcpu{1};
    IoBus bus{Space::port, device_loop, {}};
    const auto device = std::make_shared<Recorder>(8, Affinity::device_loop);
    bus.attach({0x10, 1}, device);
    std::vector<unsigned> answered;
    asio::co_spawn(vcpu, read_once(bus, 0, answered), [&device_loop](std::exception_ptr) { device_loop.stop(); });
    auto work = asio::make_work_guard(device_loop);
    std::thread thread([&device_loop] { device_loop.run(); });
    const auto loop_thread = thread.get_id();
    vcpu.run();
    thread.join();
    BOOST_REQUIRE(answered.size() == 1u);
    BOOST_TEST(answered[0] == 0x11u);
    BOOST_TEST((device->thread == loop_thread));
}

BOOST_AUTO_TEST_CASE(cancelling_an_access_on_the_loop_cancels_the_device_and_discards_its_answer) {
    asio::io_context device_loop{1};
    asio::io_context vcpu{1};
    const auto slots = std::make_shared<DeviceSlots>(device_loop, Log());
    IoBus bus{Space::port, slots};
    const auto device = std::make_shared<Slow>(Affinity::device_loop);
    bus.attach({0x10, 1}, device);
    std::vector<unsigned> answered;
    asio::cancellation_signal cancel;
    bool aborted = false;
    asio::co_spawn(
        vcpu, read_once(bus, 0, answered),
        asio::bind_cancellation_slot(cancel.slot(), [&aborted](std::exception_ptr e) { aborted = static_cast<bool>(e); }));
    vcpu.poll();
    device_loop.poll();
    BOOST_TEST(device->began.size() == 1u);
    cancel.emit(asio::cancellation_type::terminal);
    vcpu.run();
    BOOST_TEST(aborted);
    BOOST_TEST(answered.empty());
    device_loop.restart();
    device_loop.poll();
    device->released.notify();
    slots->close();
    device_loop.restart();
    device_loop.run();
    BOOST_TEST(!device->finished);
}

namespace {

/// Its accesses are not atomic: two at once would be seen by ThreadSanitizer and by the sum.
class Adder : public Device {
public:
    std::string_view name() const noexcept override { return "adder"; }
    awaitable<void> write(const Access& access) override {
        sum += access.data;
        co_return;
    }
    awaitable<void> read(Access&) override { co_return; }
    std::uint64_t sum = 0;
};

awaitable<void> add_many(IoBus& bus, unsigned cpu, int times) {
    std::array<std::byte, 1> one{std::byte{1}};
    for (int i = 0; i < times; ++i) {
        Transaction transaction = Fixture::make(Direction::write, 0x10, 1, one);
        co_await bus.perform(transaction, cpu);
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(vcpus_on_threads_of_their_own_do_not_meet_inside_a_device) {
    constexpr int times = 20'000;
    asio::io_context loop{1};
    IoBus bus{Space::port, loop, {}};
    const auto device = std::make_shared<Adder>();
    bus.attach({0x10, 1}, device);
    std::array<asio::io_context, 4> contexts;
    std::vector<std::thread> threads;
    for (unsigned cpu = 0; cpu < 4; ++cpu) {
        asio::co_spawn(contexts[cpu], add_many(bus, cpu, times), [](std::exception_ptr) {});
        threads.emplace_back([&context = contexts[cpu]] { context.run(); });
    }
    for (auto& thread : threads) thread.join();
    BOOST_TEST(device->sum == 4u * times);
}
