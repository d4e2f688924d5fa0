// Writes that only notify: the device loop hears of them, and on KVM the vCPU does not stop.
#define BOOST_TEST_MODULE doorbell
#include <asyncvm/event.hpp>

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "machine_fixture.hpp"
#include "os/unique_fd.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// Counts the exits for ports of the vCPU that it wraps.
class CountingCpu : public Cpu {
public:
    CountingCpu(std::unique_ptr<Cpu> cpu, std::shared_ptr<std::atomic<unsigned>> exits)
        : cpu_(std::move(cpu)), exits_(std::move(exits)) {}
    Exit run() override {
        auto exit = cpu_->run();
        if (std::holds_alternative<PortAccess>(exit)) ++*exits_;
        return exit;
    }
    void complete_exit() override { cpu_->complete_exit(); }
    void kick() noexcept override { cpu_->kick(); }
    Registers registers() override { return cpu_->registers(); }
    void set_registers(const Registers& registers) override { cpu_->set_registers(registers); }
    std::uint64_t exit_rip() const noexcept override { return cpu_->exit_rip(); }

private:
    std::unique_ptr<Cpu> cpu_;
    std::shared_ptr<std::atomic<unsigned>> exits_;
};

class CountingAccelerator : public Accelerator {
public:
    std::string_view name() const noexcept override { return accelerator_->name(); }
    void map(const GuestMemory& memory) override { accelerator_->map(memory); }
    std::unique_ptr<Cpu> create_cpu(unsigned index) override {
        return std::make_unique<CountingCpu>(accelerator_->create_cpu(index), exits);
    }
    bool connect_doorbell(Space space, std::uint64_t address, const Doorbell& doorbell, int eventfd) noexcept override {
        return accelerator_->connect_doorbell(space, address, doorbell, eventfd);
    }
    CoalescedRing* posted_writes() noexcept override { return accelerator_->posted_writes(); }

    const std::shared_ptr<std::atomic<unsigned>> exits = std::make_shared<std::atomic<unsigned>>(0);

private:
    std::unique_ptr<Accelerator> accelerator_ = make_accelerator_under_test();
};

/// Two doorbells, at offset 0 for any value and at offset 4 for 7; everything else is noted.
class Belled : public Recorder {
public:
    std::vector<Doorbell> doorbells() const override { return {{0, 2, {}}, {4, 2, 7}}; }
    awaitable<void> rung(std::size_t index) override {
        rung_thread = std::this_thread::get_id();
        (index == 0 ? first : second).notify();
        co_return;
    }
    Event first;
    Event second;
    std::thread::id rung_thread;
};

/// Reads give 0 as long as it is there.
class FailingBell : public Device {
public:
    std::string_view name() const noexcept override { return "failing"; }
    std::vector<Doorbell> doorbells() const override { return {{0, 2, {}}}; }
    awaitable<void> write(const Access&) override { co_return; }
    awaitable<void> read(Access&) override { co_return; }
    awaitable<void> rung(std::size_t) override {
        ++rings;
        throw std::runtime_error("no clapper");
        co_return;
    }
    int rings = 0;
};

/// Its doorbell signals an eventfd, for which somebody else waits.
class BelledElsewhere : public Belled {
public:
    std::vector<Doorbell> doorbells() const override { return {{.offset = 0, .size = 2, .eventfd = bell.get()}}; }
    const UniqueFd bell{::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
};

/// Posts, and shares the order of what it sees with a doorbell.
class Order : public Device {
public:
    std::string_view name() const noexcept override { return "order"; }
    std::vector<Doorbell> doorbells() const override { return {{4, 2, {}}}; }
    bool posts(std::uint64_t offset) const noexcept override { return offset < 2; }
    awaitable<void> write(const Access&) override {
        ++writes;
        co_return;
    }
    awaitable<void> read(Access&) override { co_return; }
    awaitable<void> rung(std::size_t) override {
        writes_at_ring = writes.load();
        rang.notify();
        co_return;
    }
    std::atomic<unsigned> writes = 0;
    unsigned writes_at_ring = 0;
    Event rang;
};

struct Fixture {
    /// ECX = `count`.
    Outcome run(std::initializer_list<std::uint8_t> code, std::uint32_t count = 0) {
        test.load(code);
        Registers registers = test.registers;
        registers.rcx = count;
        test.machine.set_registers(0, registers);
        return test.run();
    }

    asio::io_context loop{1};
    std::unique_ptr<CountingAccelerator> accelerator = std::make_unique<CountingAccelerator>();
    const std::shared_ptr<std::atomic<unsigned>> exits = accelerator->exits;
    TestMachine test{loop, 1, std::move(accelerator)};
    std::shared_ptr<Belled> device = std::make_shared<Belled>();
};

awaitable<void> stop_at(Event& event, Machine& machine) {
    co_await event.wait(0);
    machine.stop();
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_guest_that_rings_and_spins_is_heard, Fixture) {
    test.machine.ports().attach({0x100, 8}, device);
    asio::co_spawn(loop, stop_at(device->first, test.machine), [](std::exception_ptr) {});
    // mov $0x100, %dx; out %ax, (%dx); 1: jmp 1b
    BOOST_TEST((run({0xba, 0x00, 0x01, 0xef, 0xeb, 0xfe}).kind == Outcome::Kind::stopped));
    BOOST_TEST(device->accesses.empty());
    BOOST_TEST((device->rung_thread == std::this_thread::get_id()));
}

BOOST_FIXTURE_TEST_CASE(a_guest_that_rings_and_halts_is_heard, Fixture) {
    test.machine.ports().attach({0x100, 8}, device);
    // mov $0x100, %dx; out %ax, (%dx); hlt
    BOOST_TEST((run({0xba, 0x00, 0x01, 0xef, 0xf4}).kind == Outcome::Kind::halted));
    BOOST_TEST(device->first.generation() == 1U);
    BOOST_TEST(device->second.generation() == 0U);
    BOOST_TEST(device->accesses.empty());
}

BOOST_FIXTURE_TEST_CASE(other_values_and_sizes_are_ordinary_writes, Fixture) {
    test.machine.ports().attach({0x100, 8}, device);
    // mov $0x104, %dx; mov $7, %ax; out %ax, (%dx); out %al, (%dx); mov $8, %ax; out %ax, (%dx); hlt
    BOOST_TEST(
        (run({0xba, 0x04, 0x01, 0xb8, 0x07, 0x00, 0xef, 0xee, 0xb8, 0x08, 0x00, 0xef, 0xf4}).kind == Outcome::Kind::halted));
    BOOST_TEST(device->second.generation() == 1U);
    BOOST_TEST(device->first.generation() == 0U);
    BOOST_REQUIRE(device->accesses.size() == 2U);
    BOOST_TEST(device->accesses[0].size == 1U);
    BOOST_TEST(device->accesses[0].data == 7U);
    BOOST_TEST(device->accesses[1].data == 8U);
}

BOOST_FIXTURE_TEST_CASE(a_device_whose_doorbell_handler_throws_is_reported_and_detached, Fixture) {
    const auto failing = std::make_shared<FailingBell>();
    test.machine.ports().attach({0x100, 8}, failing);
    // mov $0x100, %dx; out %ax, (%dx); 1: in (%dx), %al; cmp $0xff, %al; jne 1b; out %ax, (%dx); hlt
    BOOST_TEST((run({0xba, 0x00, 0x01, 0xef, 0xec, 0x3c, 0xff, 0x75, 0xfb, 0xef, 0xf4}).kind == Outcome::Kind::halted));
    BOOST_TEST(failing->rings == 1);
    BOOST_REQUIRE(test.told.size() == 1U);
    BOOST_TEST(test.told[0] == "device failing failed at its doorbell, port 0x100 and is detached: no clapper");
}

BOOST_FIXTURE_TEST_CASE(a_doorbell_with_an_eventfd_signals_it_and_nothing_else, Fixture) {
    const auto elsewhere = std::make_shared<BelledElsewhere>();
    test.machine.ports().attach({0x100, 8}, elsewhere);
    // mov $0x100, %dx; out %ax, (%dx); out %ax, (%dx); hlt
    BOOST_TEST((run({0xba, 0x00, 0x01, 0xef, 0xef, 0xf4}).kind == Outcome::Kind::halted));
    std::uint64_t rings = 0;
    BOOST_TEST(::read(elsewhere->bell.get(), &rings, sizeof rings) == 8);
    BOOST_TEST(rings == 2U);
    BOOST_TEST(elsewhere->first.generation() == 0U);
    BOOST_TEST(elsewhere->accesses.empty());
}

BOOST_FIXTURE_TEST_CASE(strings_ring_too, Fixture) {
    test.machine.ports().attach({0x100, 8}, device);
    // mov $0x104, %dx; movw $7, (0); movw $9, (2); xor %si, %si; mov $2, %cx; rep outsw; hlt
    BOOST_TEST((run({0xba, 0x04, 0x01, 0xc7, 0x06, 0x00, 0x00, 0x07, 0x00, 0xc7, 0x06, 0x02,
                     0x00, 0x09, 0x00, 0x31, 0xf6, 0xb9, 0x02, 0x00, 0xf3, 0x6f, 0xf4})
                    .kind == Outcome::Kind::halted));
    BOOST_TEST(device->second.generation() == 1U);
    BOOST_REQUIRE(device->accesses.size() == 1U);
    BOOST_TEST(device->accesses[0].data == 9U);
}

BOOST_FIXTURE_TEST_CASE(the_vcpu_stops_only_where_kvm_does_not_ring, Fixture) {
    const bool kvm_rings = CountingAccelerator().name() == "kvm" && why_host_lacks("ioeventfd").empty();
    test.machine.ports().attach({0x100, 8}, device);
    // mov $0x100, %dx; 1: out %ax, (%dx); dec %ecx; jnz 1b; hlt
    BOOST_TEST((run({0xba, 0x00, 0x01, 0xef, 0x66, 0x49, 0x75, 0xfb, 0xf4}, 1000).kind == Outcome::Kind::halted));
    BOOST_TEST(device->first.generation() >= 1U);
    BOOST_TEST(*exits == (kvm_rings ? 0U : 1000U));
}

BOOST_FIXTURE_TEST_CASE(what_was_posted_before_is_there_when_it_rings, Fixture) {
    const auto order = std::make_shared<Order>();
    test.machine.ports().attach({0x100, 8}, order);
    asio::co_spawn(loop, stop_at(order->rang, test.machine), [](std::exception_ptr) {});
    // mov $0x100, %dx; 1: out %al, (%dx); dec %ecx; jnz 1b; mov $0x104, %dx; out %ax, (%dx); 2: jmp 2b
    BOOST_TEST((run({0xba, 0x00, 0x01, 0xee, 0x66, 0x49, 0x75, 0xfb, 0xba, 0x04, 0x01, 0xef, 0xeb, 0xfe}, 20'000).kind ==
                Outcome::Kind::stopped));
    BOOST_TEST(order->writes_at_ring == 20'000U);
}
