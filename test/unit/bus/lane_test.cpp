#define BOOST_TEST_MODULE lane
#include "bus/lane.hpp"

#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>

#include <array>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "devices.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// A lane, and two loops on one thread: nothing happens but what a test lets happen.
struct Bench {
    asio::io_context device_loop{1};
    asio::io_context vcpu{1};

    /// A read by vCPU `cpu`, which notes its number when it is answered.
    void read(const std::shared_ptr<Lane>& lane, unsigned cpu, asio::cancellation_signal& cancel) {
        asio::co_spawn(vcpu, read_on(lane, cpu, answered),
                       asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e) { failures.push_back(e); }));
    }
    void poll() {
        for (int turn = 0; turn < 8; ++turn) {
            for (auto* const loop : {&vcpu, &device_loop}) {
                loop->restart();
                loop->poll();
            }
        }
    }

    static awaitable<void> read_on(std::shared_ptr<Lane> lane, unsigned cpu, std::vector<unsigned>& answered) {
        std::array<std::byte, 4> data{};
        Transaction transaction;
        transaction.size = data.size();
        transaction.data = data;
        Access access;
        access.size = data.size();
        access.cpu = cpu;
        co_await lane->visit(access, transaction);
        answered.push_back(static_cast<unsigned>(data[0]));
    }

    std::vector<unsigned> answered;
    std::vector<std::exception_ptr> failures;  ///< of each access that has ended; null for one that was answered
};

}  // namespace

BOOST_AUTO_TEST_CASE(visits_are_made_one_after_the_other) {
    Bench bench;
    const auto device = std::make_shared<Slow>();
    const auto lane = std::make_shared<Lane>(bench.device_loop, device);
    std::array<asio::cancellation_signal, 3> cancel;
    for (unsigned cpu = 0; cpu < cancel.size(); ++cpu) bench.read(lane, cpu, cancel[cpu]);
    bench.poll();
    BOOST_TEST(device->began.size() == 1u);
    for (std::size_t done = 1; done <= cancel.size(); ++done) {
        device->released.notify();
        bench.poll();
        BOOST_TEST(bench.answered.size() == done);
    }
    const std::vector<unsigned> in_order{0, 1, 2};
    BOOST_TEST(bench.answered == in_order, boost::test_tools::per_element());
    lane->close();
    bench.device_loop.restart();
    bench.device_loop.run();
}

BOOST_AUTO_TEST_CASE(a_visit_that_is_cancelled_takes_nothing_from_the_next) {
    Bench bench;
    const auto device = std::make_shared<Slow>();
    const auto lane = std::make_shared<Lane>(bench.device_loop, device);
    std::array<asio::cancellation_signal, 2> cancel;
    bench.read(lane, 0, cancel[0]);
    bench.poll();
    bench.read(lane, 1, cancel[1]);
    bench.poll();
    cancel[0].emit(asio::cancellation_type::terminal);
    bench.poll();
    BOOST_TEST_REQUIRE(bench.failures.size() == 1u);
    BOOST_TEST(static_cast<bool>(bench.failures[0]));
    BOOST_TEST(!device->finished);
    BOOST_TEST(device->began.size() == 2u);
    device->released.notify();
    device->released.notify();
    bench.poll();
    const std::vector<unsigned> the_second{1};
    BOOST_TEST(bench.answered == the_second, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_visit_that_is_cancelled_before_its_turn_never_reaches_the_device) {
    Bench bench;
    const auto device = std::make_shared<Slow>();
    const auto lane = std::make_shared<Lane>(bench.device_loop, device);
    std::array<asio::cancellation_signal, 3> cancel;
    for (unsigned cpu = 0; cpu < cancel.size(); ++cpu) bench.read(lane, cpu, cancel[cpu]);
    bench.poll();
    cancel[1].emit(asio::cancellation_type::terminal);
    bench.poll();
    for (int i = 0; i < 3; ++i) device->released.notify();
    bench.poll();
    const std::vector<unsigned> others{0, 2};
    BOOST_TEST(device->began == others, boost::test_tools::per_element());
    BOOST_TEST(bench.answered == others, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_visit_that_is_cancelled_before_the_loop_has_seen_it_never_reaches_the_device) {
    Bench bench;
    const auto device = std::make_shared<Slow>();
    const auto lane = std::make_shared<Lane>(bench.device_loop, device);
    std::array<asio::cancellation_signal, 2> cancel;
    bench.read(lane, 0, cancel[0]);
    bench.vcpu.poll();
    cancel[0].emit(asio::cancellation_type::terminal);
    bench.vcpu.restart();
    bench.vcpu.poll();
    bench.poll();
    BOOST_TEST(bench.failures.size() == 1u);
    device->released.notify();
    bench.read(lane, 1, cancel[1]);
    bench.poll();
    const std::vector<unsigned> the_second{1};
    BOOST_TEST(bench.answered == the_second, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_a_device_throws_reaches_the_caller_and_the_lane_goes_on) {
    Bench bench;
    const auto device = std::make_shared<Broken>();
    const auto lane = std::make_shared<Lane>(bench.device_loop, device);
    std::array<asio::cancellation_signal, 2> cancel;
    for (unsigned cpu = 0; cpu < cancel.size(); ++cpu) bench.read(lane, cpu, cancel[cpu]);
    bench.poll();
    BOOST_TEST(device->accesses == 2);
    BOOST_TEST_REQUIRE(bench.failures.size() == 2u);
    for (const auto& failure : bench.failures) BOOST_CHECK_THROW(std::rethrow_exception(failure), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_lane_that_is_closed_leaves_the_loop_without_work) {
    Bench bench;
    const auto device = std::make_shared<Recorder>();
    const auto lane = std::make_shared<Lane>(bench.device_loop, device);
    asio::cancellation_signal cancel;
    bench.read(lane, 0, cancel);
    bench.poll();
    BOOST_TEST(bench.answered.size() == 1u);
    BOOST_TEST(!bench.device_loop.stopped());
    lane->close();
    bench.poll();
    BOOST_TEST(bench.device_loop.stopped());
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_takes_its_visits_with_it) {
    const auto device = std::make_shared<Slow>();
    {
        Bench bench;
        const auto lane = std::make_shared<Lane>(bench.device_loop, device);
        asio::cancellation_signal cancel;
        bench.read(lane, 0, cancel);
        bench.poll();
        BOOST_TEST(device->began.size() == 1u);
    }
    BOOST_TEST(device.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(without_a_descriptor_the_message_says_what_to_do) {
    asio::io_context loop{1};
    const auto device = std::make_shared<Slow>();
    rlimit before{};
    BOOST_TEST_REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    rlimit none = before;
    none.rlim_cur = 0;
    BOOST_TEST_REQUIRE(setrlimit(RLIMIT_NOFILE, &none) == 0);
    std::string told;
    try {
        const Lane lane(loop, device);
    } catch (const Error& error) {
        told = error.what();
    }
    setrlimit(RLIMIT_NOFILE, &before);
    BOOST_TEST(told == "cannot make a way to slow: Too many open files (raise the limit that `ulimit -n` shows)");
}
