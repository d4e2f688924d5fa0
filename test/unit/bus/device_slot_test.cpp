// What a machine keeps of a device: one access at a time on all buses, one report of a failure, one machine.
#define BOOST_TEST_MODULE device_slot
#include "bus/device_slot.hpp"

#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <deque>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bus/io_bus.hpp"
#include "bus/ioevent.hpp"
#include "devices.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// Fails wherever a test wants it to.
class Faulty : public Recorder {
public:
    std::vector<Doorbell> doorbells() const override {
        if (in_doorbells) throw std::runtime_error("no bells");
        return {{.offset = 4}};
    }
    awaitable<void> run() override {
        if (before_run) throw std::runtime_error("no work");
        return throw_or_wait();
    }
    awaitable<void> rung(std::size_t) override {
        ++rings;
        co_await throw_or_wait();
    }

    bool in_doorbells = false;
    bool before_run = false;
    bool waits = false;
    int rings = 0;

private:
    awaitable<void> throw_or_wait() {
        if (waits) co_await never_.wait(never_.generation());
        throw std::runtime_error("out of smoke");
    }
    Event never_;
};

struct Machine {
    Machine(asio::io_context& loop, std::vector<std::string>& told)
        : slots(std::make_shared<DeviceSlots>(loop, [&told](std::string_view line) { told.emplace_back(line); })),
          ports(Space::port, slots),
          mmio(Space::memory, slots) {}
    std::shared_ptr<DeviceSlots> slots;
    IoBus ports;
    IoBus mmio;
};

struct Fixture {
    asio::io_context loop{1};
    std::vector<std::string> told;
    Machine machine{loop, told};
    std::vector<std::uint64_t> answers;
    std::exception_ptr failure;

    void spawn(awaitable<void> work) {
        auto& cancel = cancels.emplace_back();  // a signal is for one coroutine
        asio::co_spawn(loop, std::move(work), asio::bind_cancellation_slot(cancel.slot(), [this](std::exception_ptr e) {
                           failure = std::move(e);
                       }));
        poll();
    }
    void poll() {
        loop.restart();
        while (loop.poll() != 0) {
        }
    }
    awaitable<void> read(IoBus& bus, Space space, std::uint64_t address, unsigned cpu) {
        std::array<std::byte, 1> data{};
        Transaction transaction;
        transaction.space = space;
        transaction.address = address;
        transaction.data = data;
        co_await bus.perform(transaction, cpu);
        answers.push_back(std::to_integer<std::uint64_t>(data[0]));
    }

    std::deque<asio::cancellation_signal> cancels;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(on_both_buses, Fixture)

BOOST_AUTO_TEST_CASE(a_device_gets_one_access_at_a_time) {
    for (const auto affinity : {Affinity::in_place, Affinity::device_loop}) {
        answers.clear();
        Machine one(loop, told);
        const auto device = std::make_shared<Slow>(affinity);
        one.ports.attach({0x10, 1}, device);
        one.mmio.attach({0x1000, 1}, device);
        spawn(read(one.ports, Space::port, 0x10, 1));
        spawn(read(one.mmio, Space::memory, 0x1000, 2));
        BOOST_TEST(device->began == std::vector<unsigned>{1}, boost::test_tools::per_element());
        device->released.notify();
        poll();
        BOOST_TEST(device->began == (std::vector<unsigned>{1, 2}), boost::test_tools::per_element());
        device->released.notify();
        poll();
        BOOST_TEST(answers == (std::vector<std::uint64_t>{1, 2}), boost::test_tools::per_element());
        one.slots->close();
        poll();
    }
}

BOOST_AUTO_TEST_CASE(a_concurrent_device_gets_them_as_they_come) {
    class Concurrent final : public Slow {
    public:
        using Slow::Slow;
        bool concurrent() const noexcept override { return true; }
    };
    const auto device = std::make_shared<Concurrent>(Affinity::in_place);
    machine.ports.attach({0x10, 1}, device);
    machine.mmio.attach({0x1000, 1}, device);
    spawn(read(machine.ports, Space::port, 0x10, 1));
    spawn(read(machine.mmio, Space::memory, 0x1000, 2));
    BOOST_TEST(device->began == (std::vector<unsigned>{1, 2}), boost::test_tools::per_element());
    BOOST_TEST(answers.empty());
    for (int i = 0; i < 2; ++i) device->released.notify();
    poll();
    BOOST_TEST(answers == (std::vector<std::uint64_t>{1, 2}), boost::test_tools::per_element());
    // The first ones have left no mutex behind that is locked, or free.
    spawn(read(machine.ports, Space::port, 0x10, 1));
    spawn(read(machine.ports, Space::port, 0x10, 2));
    BOOST_TEST(device->began.size() == 4U);
    // Where its accesses run on the device loop it has one at a time.
    Machine other(loop, told);
    const auto on_loop = std::make_shared<Concurrent>(Affinity::device_loop);
    other.ports.attach({0x10, 1}, on_loop);
    spawn(read(other.ports, Space::port, 0x10, 1));
    spawn(read(other.ports, Space::port, 0x10, 2));
    BOOST_TEST(on_loop->began == std::vector<unsigned>{1}, boost::test_tools::per_element());
    for (int i = 0; i < 2; ++i) {
        on_loop->released.notify();
        poll();
    }
    other.slots->close();
    poll();
}

BOOST_AUTO_TEST_CASE(a_device_that_fails_is_absent_on_the_other_too) {
    const auto device = std::make_shared<Broken>();
    machine.ports.attach({0x10, 1}, device);
    machine.mmio.attach({0x1000, 1}, device);
    spawn(read(machine.ports, Space::port, 0x10, 0));
    spawn(read(machine.mmio, Space::memory, 0x1000, 0));
    BOOST_TEST(answers == (std::vector<std::uint64_t>{0xff, 0xff}), boost::test_tools::per_element());
    BOOST_TEST(device->accesses == 1);
    BOOST_TEST(told.size() == 1U);
}

BOOST_AUTO_TEST_CASE(each_bus_lists_its_own_devices_and_the_machine_all_once) {
    const auto both = std::make_shared<Recorder>();
    machine.ports.attach({0x10, 1}, both);
    machine.ports.attach({0x20, 1}, std::make_shared<Recorder>());
    machine.mmio.attach({0x1000, 1}, both);
    BOOST_TEST(machine.ports.devices().size() == 2U);
    BOOST_TEST(machine.mmio.devices().size() == 1U);
    BOOST_TEST(machine.slots->all().size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_device_of_another_machine_is_refused_until_that_one_has_ended) {
    const auto device = std::make_shared<Recorder>();
    machine.ports.attach({0x10, 1}, device);
    Machine other(loop, told);
    BOOST_CHECK_EXCEPTION(other.mmio.attach({0x1000, 1}, device), Error, [](const Error& error) {
        return error.kind() == ErrorKind::usage &&
               error.what() == std::string("cannot attach recorder: another machine has it");
    });
    BOOST_TEST(other.mmio.ranges().empty());
    machine.slots->close();
    other.mmio.attach({0x1000, 1}, device);
    BOOST_TEST(other.mmio.ranges().size() == 1U);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(a_device_that_throws, Fixture)

BOOST_AUTO_TEST_CASE(while_it_is_attached_is_not_attached) {
    const auto device = std::make_shared<Faulty>();
    device->in_doorbells = true;
    BOOST_CHECK_THROW(machine.ports.attach({0x10, 8}, device), std::runtime_error);
    BOOST_TEST(machine.ports.ranges().empty());
    BOOST_TEST(machine.slots->all().empty());
    device->in_doorbells = false;
    machine.ports.attach({0x10, 8}, device);
    BOOST_TEST(machine.ports.ioevents().size() == 1U);
}

BOOST_AUTO_TEST_CASE(when_its_doorbell_rings_is_reported_once_and_detached) {
    const auto device = std::make_shared<Faulty>();
    machine.ports.attach({0x10, 8}, device);
    const auto ioevent = machine.ports.ioevents().front();
    spawn(ioevent->answer());
    spawn(ioevent->answer());
    spawn(read(machine.ports, Space::port, 0x10, 0));
    BOOST_TEST(!failure);
    BOOST_TEST(device->rings == 1);
    BOOST_TEST(device->accesses.empty());
    BOOST_TEST(answers == std::vector<std::uint64_t>{0xff}, boost::test_tools::per_element());
    const std::vector<std::string> once{"device recorder failed at its doorbell, port 0x14 and is detached: out of smoke"};
    BOOST_TEST(told == once, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(in_its_background_work_is_reported_once_and_detached) {
    for (const bool before : {false, true}) {
        told.clear();
        answers.clear();
        Machine one(loop, told);
        const auto device = std::make_shared<Faulty>();
        device->before_run = before;
        one.ports.attach({0x10, 8}, device);
        spawn(DeviceSlot::run(one.slots->all().front()));
        spawn(read(one.ports, Space::port, 0x10, 0));
        BOOST_TEST(!failure);
        BOOST_TEST(answers == std::vector<std::uint64_t>{0xff}, boost::test_tools::per_element());
        const std::vector<std::string> once{std::string("device recorder failed in its background work and is detached: ") +
                                            (before ? "no work" : "out of smoke")};
        BOOST_TEST(told == once, boost::test_tools::per_element());
    }
}

BOOST_AUTO_TEST_CASE(because_its_caller_was_cancelled_stays) {
    const auto device = std::make_shared<Faulty>();
    device->waits = true;
    machine.ports.attach({0x10, 8}, device);
    const auto slot = machine.slots->all().front();
    const auto ioevent = machine.ports.ioevents().front();
    for (const bool doorbell : {false, true}) {
        failure = nullptr;
        spawn(doorbell ? ioevent->answer() : DeviceSlot::run(slot));
        cancels.back().emit(asio::cancellation_type::terminal);
        poll();
        BOOST_CHECK_THROW(std::rethrow_exception(failure), std::system_error);
    }
    BOOST_TEST(!slot->detached());
    BOOST_TEST(told.empty());
}

BOOST_AUTO_TEST_SUITE_END()
