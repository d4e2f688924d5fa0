#define BOOST_TEST_MODULE machine
#include <asyncvm/event.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

bool ends_as(const Outcome& outcome, Outcome::Kind kind) {
    if (outcome.kind == kind) return true;
    BOOST_TEST_MESSAGE(outcome.summary << '\n' << outcome.report);
    return false;
}

/// Its reads end when the vCPU's own timer does, and not before.
class Timed : public Device {
public:
    std::string_view name() const noexcept override { return "timed"; }
    awaitable<void> write(const Access& access) override {
        asio::steady_timer timer(co_await asio::this_coro::executor, std::chrono::microseconds(access.data));
        co_await timer.async_wait(use_awaitable);
        slept = true;
    }
    awaitable<void> read(Access&) override { co_return; }
    std::atomic<bool> slept = false;
};

/// Never answers, and takes no cancellation either.
class Stubborn : public Device {
public:
    std::string_view name() const noexcept override { return "stubborn"; }
    awaitable<void> write(const Access&) override {
        entered.notify();
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        asio::steady_timer timer(co_await asio::this_coro::executor, 1h);
        co_await timer.async_wait(use_awaitable);
    }
    awaitable<void> read(Access&) override { co_return; }
    Event entered;
};

class Ender : public Device {
public:
    explicit Ender(Machine& machine) : machine_(machine) {}
    std::string_view name() const noexcept override { return "ender"; }
    awaitable<void> write(const Access& access) override {
        Outcome outcome;
        outcome.kind = Outcome::Kind::exited;
        outcome.guest_code = static_cast<int>(access.data);
        machine_.finish(outcome);
        co_return;
    }
    awaitable<void> read(Access&) override { co_return; }

private:
    Machine& machine_;
};

/// Counts while the machine runs.
class Ticker : public Recorder {
public:
    awaitable<void> run() override {
        ++started;
        asio::steady_timer timer(co_await asio::this_coro::executor);
        struct Ended {
            explicit Ended(int& n) : count(n) {}
            ~Ended() { ++count; }
            int& count;
        };
        const Ended ended(this->ended);
        for (;;) {
            timer.expires_after(1h);
            co_await timer.async_wait(use_awaitable);
        }
    }
    int started = 0;
    int ended = 0;
};

awaitable<void> stop_when(Event& event, Machine& machine) {
    co_await event.wait(0);
    machine.stop();
}

struct OneLoop {
    asio::io_context loop{1};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(running, OneLoop)

BOOST_AUTO_TEST_CASE(a_machine_without_interrupt_controllers_promises_no_local_apic) {
    asio::io_context loop;
    TestMachine test(loop);
    const auto seen = std::make_shared<Recorder>();
    test.machine.ports().attach({.first = 0x10, .size = 4}, seen);
    // mov eax, 1; cpuid; out 0x10, edx; mov eax, ecx; out 0x10, eax; mov ecx, 0x1b; rdmsr; out 0x10, eax; hlt
    test.load({0x66, 0xb8, 1,    0,    0,    0,    0x0f, 0xa2, 0x66, 0x92, 0x66, 0xe7, 0x10, 0x66, 0x89, 0xc8,
               0x66, 0xe7, 0x10, 0x66, 0xb9, 0x1b, 0,    0,    0,    0x0f, 0x32, 0x66, 0xe7, 0x10, 0xf4});
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(seen->accesses.size() == 3u);
    BOOST_TEST((seen->accesses[0].data & 1u << 9) == 0u);                // APIC
    BOOST_TEST((seen->accesses[1].data & (1u << 21 | 1u << 24)) == 0u);  // x2APIC, TSC deadline
    BOOST_TEST((seen->accesses[2].data & 1u << 11) == 0u);               // IA32_APIC_BASE: enabled
}

BOOST_AUTO_TEST_CASE(the_sum_of_the_classic_guest_arrives_at_port_0x3f8) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x3f8, 1}, device);
    // mov $0x3f8, %dx; add %bl, %al; add $'0', %al; out %al, (%dx); mov $'\n', %al; out %al, (%dx); hlt
    test.load({0xba, 0xf8, 0x03, 0x00, 0xd8, 0x04, 0x30, 0xee, 0xb0, 0x0a, 0xee, 0xf4});
    test.registers.rax = 2;
    test.registers.rbx = 2;
    test.machine.set_registers(0, test.registers);
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 2u);
    BOOST_TEST(device->accesses[0].data == '4');
    BOOST_TEST(device->accesses[1].data == '\n');
}

BOOST_AUTO_TEST_CASE(reads_and_writes_of_each_width_carry_their_values) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x10, 8}, device);
    // in $0x10, %al; out %al, $0x14; in $0x10, %ax; out %ax, $0x14; in $0x10, %eax; out %eax, $0x14; hlt
    test.load({0xe4, 0x10, 0xe6, 0x14, 0xe5, 0x10, 0xe7, 0x14, 0x66, 0xe5, 0x10, 0x66, 0xe7, 0x14, 0xf4});
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 6u);
    BOOST_TEST(device->accesses[1].data == 0x11u);
    BOOST_TEST(device->accesses[3].data == 0x2211u);
    BOOST_TEST(device->accesses[5].data == 0x44332211u);
}

BOOST_AUTO_TEST_CASE(an_absent_port_reads_as_all_ones_in_the_guest) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x14, 4}, device);
    // in $0x60, %ax; out %ax, $0x14; hlt
    test.load({0xe5, 0x60, 0xe7, 0x14, 0xf4});
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 1u);
    BOOST_TEST(device->accesses[0].data == 0xffffu);
}

BOOST_AUTO_TEST_CASE(strings_arrive_whole_however_the_kernel_cuts_them) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>(1);
    test.machine.ports().attach({0x10, 1}, device);
    // cld; mov $0x100, %si; mov $0x10, %dx; mov $300, %cx; rep outsb; mov $0x4000, %di; mov $300, %cx; rep insb;
    // mov 0x412b, %al; out %al, $0x10; hlt
    test.load({0xfc, 0xbe, 0x00, 0x01, 0xba, 0x10, 0x00, 0xb9, 0x2c, 0x01, 0xf3, 0x6e, 0xbf,
               0x00, 0x40, 0xb9, 0x2c, 0x01, 0xf3, 0x6c, 0xa0, 0x2b, 0x41, 0xe6, 0x10, 0xf4});
    std::vector<std::byte> text(300);
    for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::byte>(i * 7);
    BOOST_REQUIRE(test.machine.memory().write(0x10100, text) == text.size());
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 601u);
    for (std::size_t i = 0; i < text.size(); ++i) {
        BOOST_REQUIRE(device->accesses[i].data == static_cast<std::uint64_t>(text[i]));
    }
    BOOST_TEST(device->accesses[600].data == 0x11u);  // the last byte that REP INSB has stored
}

BOOST_AUTO_TEST_CASE(memory_that_no_ram_backs_is_a_device_s) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>();
    test.machine.mmio().attach({0xd0000000, 0x1000}, device);
    // mov $0xd0000008, %ebx; mov (%ebx), %eax; add $1, %eax; mov %eax, 8(%ebx); movb $5, 1(%ebx); hlt
    test.load({0xbb, 0x08, 0x00, 0x00, 0xd0, 0x8b, 0x03, 0x83, 0xc0, 0x01, 0x89, 0x43, 0x08, 0xc6, 0x43, 0x01, 0x05, 0xf4},
              Mode::protected32);
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 3u);
    BOOST_TEST(device->accesses[1].address == 0xd0000010u);
    BOOST_TEST(device->accesses[1].data == 0x44332211u + 8 + 1);
    BOOST_TEST(device->accesses[2].offset == 9u);
    BOOST_TEST(device->accesses[2].size == 1);
}

BOOST_AUTO_TEST_CASE(long_mode_writes_eight_bytes_at_once) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>();
    test.machine.mmio().attach({0xd0000000, 0x1000}, device);
    // mov $0xd0000000, %ebx; mov $0x1122334455667788, %rax; mov %rax, (%rbx); hlt
    test.load(
        {0xbb, 0x00, 0x00, 0x00, 0xd0, 0x48, 0xb8, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x48, 0x89, 0x03, 0xf4},
        Mode::long64);
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 1u);
    BOOST_TEST(device->accesses[0].size == 8);
    BOOST_TEST(device->accesses[0].data == 0x1122334455667788u);
}

BOOST_AUTO_TEST_CASE(the_machine_ends_when_all_vcpus_have_halted) {
    TestMachine test(loop, 3);
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe6, 0x10, 0xf4});  // out %al, $0x10; hlt
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 3u);
    std::vector<unsigned> cpus;
    for (const Access& access : device->accesses) cpus.push_back(access.cpu);
    std::ranges::sort(cpus);
    const std::vector<unsigned> all{0, 1, 2};
    BOOST_TEST(cpus == all, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_device_that_waits_suspends_its_vcpu_and_then_resumes_it) {
    TestMachine test(loop);
    const auto timed = std::make_shared<Timed>();
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x20, 1}, timed);
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xb0, 0xc8, 0xe6, 0x20, 0xe6, 0x10, 0xf4});  // mov $200, %al; out %al, $0x20; out %al, $0x10; hlt
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_TEST(timed->slept);
    BOOST_TEST(device->accesses.size() == 1u);
}

BOOST_AUTO_TEST_CASE(a_device_of_the_loop_answers_a_real_guest) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>(8, Affinity::device_loop);
    test.machine.ports().attach({0x10, 8}, device);
    test.load({0xe4, 0x11, 0xe6, 0x14, 0xf4});  // in $0x11, %al; out %al, $0x14; hlt
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_REQUIRE(device->accesses.size() == 2u);
    BOOST_TEST(device->accesses[1].data == 0x12u);
    BOOST_TEST((device->thread == std::this_thread::get_id()));
}

BOOST_AUTO_TEST_CASE(a_triple_fault_is_an_outcome_with_a_report) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe6, 0x10, 0x0f, 0x0b}, Mode::protected32);  // out %al, $0x10; ud2
    const Outcome outcome = test.run();
    BOOST_TEST(ends_as(outcome, Outcome::Kind::triple_fault));
    BOOST_TEST(outcome.summary.find("triple fault") != std::string::npos, outcome.summary);
    BOOST_TEST(outcome.report.find("recorder") != std::string::npos, outcome.report);
}

BOOST_AUTO_TEST_CASE(an_access_can_end_the_machine_and_is_its_vcpu_s_last) {
    TestMachine test(loop);
    const auto after = std::make_shared<Recorder>();
    test.machine.ports().attach({0xf4, 1}, std::make_shared<Ender>(test.machine));
    test.machine.ports().attach({0x10, 1}, after);
    test.load({0xb0, 0x2a, 0xe6, 0xf4, 0xe6, 0x10, 0xf4});  // mov $42, %al; out %al, $0xf4; out %al, $0x10; hlt
    const Outcome outcome = test.run();
    BOOST_TEST(ends_as(outcome, Outcome::Kind::exited));
    BOOST_TEST(outcome.guest_code == 42);
    BOOST_TEST(after->accesses.empty());
}

BOOST_AUTO_TEST_CASE(background_work_lives_as_long_as_the_guest) {
    TestMachine test(loop);
    const auto ticker = std::make_shared<Ticker>();
    test.machine.ports().attach({0x10, 1}, ticker);
    test.machine.mmio().attach({0xd0000000, 1}, ticker);
    test.load({0xe6, 0x10, 0xf4});
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::halted));
    BOOST_TEST(ticker->started == 1);
    BOOST_TEST(ticker->ended == 1);
    BOOST_TEST(test.told.empty());
}

BOOST_AUTO_TEST_CASE(two_machines_share_a_device_loop) {
    TestMachine first(loop);
    TestMachine second(loop, 2);
    const auto a = std::make_shared<Recorder>(8, Affinity::device_loop);
    const auto b = std::make_shared<Recorder>(8, Affinity::device_loop);
    first.machine.ports().attach({0x10, 1}, a);
    second.machine.ports().attach({0x10, 1}, b);
    first.load({0xb0, 0x01, 0xe6, 0x10, 0xe6, 0x10, 0xf4});
    second.load({0xb0, 0x02, 0xe6, 0x10, 0xe6, 0x10, 0xf4});
    first.start();
    second.start();
    loop.run_for(patience);
    BOOST_REQUIRE(first.outcome);
    BOOST_REQUIRE(second.outcome);
    BOOST_TEST(a->accesses.size() == 2u);
    BOOST_TEST(b->accesses.size() == 4u);
    BOOST_TEST(std::ranges::all_of(a->accesses, [](const Access& access) { return access.data == 1; }));
    BOOST_TEST(std::ranges::all_of(b->accesses, [](const Access& access) { return access.data == 2; }));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(stopping, OneLoop)

BOOST_AUTO_TEST_CASE(before_the_run) {
    TestMachine test(loop);
    const auto device = std::make_shared<Recorder>();
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe6, 0x10, 0xf4});
    test.machine.stop();
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::stopped));
    BOOST_TEST(device->accesses.empty());
}

BOOST_AUTO_TEST_CASE(a_guest_that_spins) {
    for (int round = 0; round < 20; ++round) {
        TestMachine test(loop, 2);
        const auto device = std::make_shared<Slow>();
        test.machine.ports().attach({0x10, 1}, device);
        test.load({0xe6, 0x10, 0xeb, 0xfe});  // out %al, $0x10; jmp .
        test.start();
        // Somewhere between the first entry and the loop, from another thread.
        std::thread stopper([&test] { test.machine.stop(); });
        loop.restart();
        loop.run_for(patience);
        stopper.join();
        BOOST_REQUIRE(test.outcome);
        BOOST_TEST(ends_as(*test.outcome, Outcome::Kind::stopped));
    }
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_is_suspended_in_place_and_others_that_wait_for_the_device) {
    TestMachine test(loop, 3);
    const auto device = std::make_shared<Slow>();
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe4, 0x10, 0xf4});  // in $0x10, %al; hlt
    asio::co_spawn(loop, stop_when(device->arrived, test.machine), [](std::exception_ptr e) { BOOST_TEST(!e); });
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::stopped));
    BOOST_TEST(!device->finished);
    BOOST_TEST(test.told.empty());
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_is_suspended_on_the_device_loop) {
    TestMachine test(loop);
    const auto device = std::make_shared<Slow>(Affinity::device_loop);
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe4, 0x10, 0xf4});
    asio::co_spawn(loop, stop_when(device->arrived, test.machine), [](std::exception_ptr e) { BOOST_TEST(!e); });
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::stopped));
    BOOST_TEST(!device->finished);
}

BOOST_AUTO_TEST_CASE(a_device_that_takes_no_cancellation_is_left_behind_and_told) {
    TestMachine test(loop, 1, make_accelerator_under_test(),
                     [](MachineConfig& config) { config.cancellation_patience = 10ms; });
    const auto device = std::make_shared<Stubborn>();
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe6, 0x10, 0xf4});
    asio::co_spawn(loop, stop_when(device->entered, test.machine), [](std::exception_ptr e) { BOOST_TEST(!e); });
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::stopped));
    BOOST_TEST(test.told.size() == 1u);
}

BOOST_AUTO_TEST_CASE(by_cancelling_the_run) {
    TestMachine test(loop);
    test.load({0xeb, 0xfe});
    test.start();
    loop.restart();
    loop.poll();
    test.cancel.emit(asio::cancellation_type::terminal);
    loop.run_for(patience);
    BOOST_REQUIRE(test.outcome);
    BOOST_TEST(ends_as(*test.outcome, Outcome::Kind::stopped));
}

BOOST_AUTO_TEST_CASE(a_machine_that_is_destroyed_while_it_runs) {
    const auto device = std::make_shared<Slow>(Affinity::device_loop);
    {
        asio::io_context own{1};
        std::optional<TestMachine> test(std::in_place, own);
        test->machine.ports().attach({0x10, 1}, device);
        test->load({0xe4, 0x10, 0xf4});
        test->start();
        own.run_one_for(patience);
        test.reset();
    }
    BOOST_TEST(!device->finished);
}

BOOST_AUTO_TEST_CASE(the_pending_read_is_completed_so_that_rip_is_past_it) {
    TestMachine test(loop);
    const auto device = std::make_shared<Slow>();
    test.machine.ports().attach({0x10, 1}, device);
    test.load({0xe4, 0x10, 0xf4});
    asio::co_spawn(loop, stop_when(device->arrived, test.machine), [](std::exception_ptr e) { BOOST_TEST(!e); });
    BOOST_TEST(ends_as(test.run(), Outcome::Kind::stopped));
    const Registers registers = test.machine.registers(0);
    BOOST_TEST(registers.rip == 2u);
    BOOST_TEST((registers.rax & 0xff) == 0xffu);  // an access without an answer reads as all-ones
}

BOOST_AUTO_TEST_SUITE_END()
