#define BOOST_TEST_MODULE dispatcher
#include "bus/device_loop_dispatcher.hpp"

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

/// Its access begins with the call, not with the coroutine.
class Plain : public Device {
public:
    std::string_view name() const noexcept override { return "plain"; }
    awaitable<void> write(const Access& access) override {
        began.push_back(access.cpu);
        return nothing();
    }
    awaitable<void> read(Access& access) override {
        began.push_back(access.cpu);
        access.data = access.cpu;
        return nothing();
    }
    std::vector<unsigned> began;

private:
    static awaitable<void> nothing() { co_return; }
};

/// A device and its dispatcher, and two loops on one thread: nothing happens but what a test lets happen.
template <typename Kind>
struct Fixture {
    asio::io_context device_loop{1};
    asio::io_context vcpu{1};
    std::shared_ptr<Kind> device = std::make_shared<Kind>();
    std::shared_ptr<DeviceLoopDispatcher> dispatcher = std::make_shared<DeviceLoopDispatcher>(device_loop, device);
    std::array<asio::cancellation_signal, 3> cancels;
    std::vector<unsigned> answered;
    std::vector<std::exception_ptr> failures;  ///< of each access that has ended; null for one that was answered

    /// A read by vCPU `cpu`, which notes its number when it is answered.
    void read(unsigned cpu) {
        asio::co_spawn(
            vcpu, read_on(dispatcher, cpu, answered),
            asio::bind_cancellation_slot(cancels.at(cpu).slot(), [this](std::exception_ptr e) { failures.push_back(e); }));
    }
    void cancel(unsigned cpu) { cancels.at(cpu).emit(asio::cancellation_type::terminal); }
    void poll() {
        for (int turn = 0; turn < 8; ++turn) {
            for (auto* const loop : {&vcpu, &device_loop}) {
                loop->restart();
                loop->poll();
            }
        }
    }

    static awaitable<void> read_on(std::shared_ptr<DeviceLoopDispatcher> on, unsigned cpu, std::vector<unsigned>& noted) {
        std::array<std::byte, 4> data{};
        Transaction transaction;
        transaction.size = data.size();
        transaction.data = data;
        Access access;
        access.size = data.size();
        access.cpu = cpu;
        co_await on->access_device(access, transaction);
        noted.push_back(static_cast<unsigned>(data[0]));
    }
};

using Cpus = std::vector<unsigned>;

}  // namespace

BOOST_AUTO_TEST_CASE(accesses_are_made_one_after_the_other) {
    Fixture<Slow> fixture;
    for (unsigned cpu = 0; cpu < 3; ++cpu) fixture.read(cpu);
    fixture.poll();
    BOOST_TEST(fixture.device->began.size() == 1u);
    for (std::size_t done = 1; done <= 3; ++done) {
        fixture.device->released.notify();
        fixture.poll();
        BOOST_TEST(fixture.answered.size() == done);
    }
    BOOST_TEST(fixture.answered == (Cpus{0, 1, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_access_that_is_cancelled_takes_nothing_from_the_next) {
    Fixture<Slow> fixture;
    fixture.read(0);
    fixture.poll();
    fixture.read(1);
    fixture.poll();
    fixture.cancel(0);
    fixture.poll();
    BOOST_TEST_REQUIRE(fixture.failures.size() == 1u);
    BOOST_TEST(static_cast<bool>(fixture.failures[0]));
    BOOST_TEST(!fixture.device->finished);
    BOOST_TEST(fixture.device->began.size() == 2u);
    fixture.device->released.notify();
    fixture.device->released.notify();
    fixture.poll();
    BOOST_TEST(fixture.answered == Cpus{1}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_access_that_is_cancelled_while_it_waits_never_reaches_the_device) {
    Fixture<Slow> fixture;
    for (unsigned cpu = 0; cpu < 3; ++cpu) fixture.read(cpu);
    fixture.poll();
    fixture.cancel(1);
    fixture.poll();
    for (int i = 0; i < 3; ++i) fixture.device->released.notify();
    fixture.poll();
    BOOST_TEST(fixture.device->began == (Cpus{0, 2}), boost::test_tools::per_element());
    BOOST_TEST(fixture.answered == (Cpus{0, 2}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_access_that_is_cancelled_before_the_loop_has_seen_it_never_reaches_the_device) {
    Fixture<Plain> fixture;
    fixture.read(0);
    fixture.vcpu.poll();
    fixture.cancel(0);
    fixture.poll();
    BOOST_TEST(fixture.failures.size() == 1u);
    fixture.read(1);
    fixture.poll();
    BOOST_TEST(fixture.device->began == Cpus{1}, boost::test_tools::per_element());
    BOOST_TEST(fixture.answered == Cpus{1}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(what_a_device_throws_reaches_the_caller_and_the_lane_goes_on) {
    Fixture<Broken> fixture;
    fixture.read(0);
    fixture.read(1);
    fixture.poll();
    BOOST_TEST(fixture.device->accesses == 2);
    BOOST_TEST_REQUIRE(fixture.failures.size() == 2u);
    for (const auto& failure : fixture.failures) BOOST_CHECK_THROW(std::rethrow_exception(failure), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_lane_that_is_closed_leaves_the_loop_without_work) {
    Fixture<Recorder> fixture;
    fixture.read(0);
    fixture.poll();
    BOOST_TEST(fixture.answered.size() == 1u);
    BOOST_TEST(!fixture.device_loop.stopped());
    fixture.dispatcher->close();
    fixture.poll();
    BOOST_TEST(fixture.device_loop.stopped());
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_takes_its_accesses_with_it) {
    std::shared_ptr<Slow> device;
    {
        Fixture<Slow> fixture;
        device = fixture.device;
        fixture.read(0);
        fixture.poll();
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
        const DeviceLoopDispatcher dispatcher(loop, device);
    } catch (const Error& error) {
        told = error.what();
    }
    setrlimit(RLIMIT_NOFILE, &before);
    BOOST_TEST(told == "cannot make a way to slow: too many open files (raise the limit that `ulimit -n` shows)");
}
