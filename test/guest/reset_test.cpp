// Resetting a machine, with real guests.
#define BOOST_TEST_MODULE reset
#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "guest_code.hpp"
#include "pause_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

// Shows LSTAR and CR2, then changes both.
GUEST_CODE(guest_that_leaves_traces, 64, R"(
    mov $0xc0000082, %ecx
    rdmsr
    mov %cr2, %rbx
    add %ebx, %eax
    out %al, $0x10
    mov $0x55, %eax
    xor %edx, %edx
    wrmsr
    mov %rax, %cr2
    out %al, $0x10
    jmp .
)")

namespace {

/// The accelerator under test, but that the state of the machine can't be restored.
class Refusing : public Accelerator {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "refusing"; }
    void map(const GuestMemory& memory) override { inner_->map(memory); }
    [[nodiscard]] std::unique_ptr<Cpu> create_cpu(unsigned index) override { return inner_->create_cpu(index); }
    [[nodiscard]] VmState save_state() override { return inner_->save_state(); }
    void restore_state(const VmState&) override { throw Error(ErrorKind::host, "the timer is not taken back"); }

private:
    std::unique_ptr<Accelerator> inner_ = make_accelerator_under_test();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(resetting, Fixture)

BOOST_AUTO_TEST_CASE(what_no_register_set_shows_is_as_at_the_start_too) {
    test.load(guest_that_leaves_traces(), Mode::long64);
    test.start();
    until([&] { return device->writes == 2; });
    BOOST_TEST(device->last == 0x55u);
    std::uint64_t first = 1;
    // The first write after the reset is what LSTAR and CR2 hold then.
    device->on_write = [&](std::uint64_t value) {
        if (device->writes == 2) first = value;
    };
    await(test.machine.reset());
    until([&] { return device->writes == 4; });
    BOOST_TEST(first == 0u);
    stop();
}

BOOST_AUTO_TEST_CASE(what_a_device_has_under_way_ends_before_it_is_reset) {
    class Busy final : public Counting {
    public:
        awaitable<void> before_reset() override {
            co_await asio::post(context().loop, use_awaitable);
            resets_seen = resets;
            asked_on = std::this_thread::get_id();
            ++asked;
        }
        unsigned asked = 0;
        unsigned resets_seen = 99;
        std::thread::id asked_on;
    };
    const auto busy = std::make_shared<Busy>();
    test.machine.ports().attach({0x20, 1}, busy);
    test.load({0xfe, 0xc0, 0xe6, 0x10, 0xeb, 0xfa});
    test.start();
    until([&] { return device->writes > 0; });
    await(test.machine.reset());
    BOOST_TEST(busy->asked == 1u);
    BOOST_TEST(busy->resets_seen == 0u);
    BOOST_TEST(busy->resets == 1u);
    BOOST_TEST((busy->asked_on == busy->reset_on));
    stop();
}

BOOST_AUTO_TEST_CASE(a_state_that_is_not_taken_back_ends_the_run) {
    TestMachine own(loop, 1, std::make_unique<Refusing>(), [](MachineConfig& config) { config.resettable = true; });
    own.load({0xeb, 0xfe});
    own.start();
    BOOST_CHECK_EXCEPTION(await(own.machine.reset()), Error, [](const Error& error) {
        return std::string_view(error.what()) == "the timer is not taken back";
    });
    until([&] { return own.outcome.has_value(); });
    BOOST_TEST((own.outcome->kind == Outcome::Kind::failed));
    BOOST_TEST(own.outcome->summary.find("the timer is not taken back") != std::string::npos, own.outcome->summary);
}

BOOST_AUTO_TEST_CASE(a_machine_that_keeps_no_state_says_that_it_cannot_be_reset) {
    TestMachine own(loop);
    own.load({0xeb, 0xfe});
    own.start();
    BOOST_CHECK_EXCEPTION(await(own.machine.reset()), Error,
                          [](const Error& error) { return error.kind() == ErrorKind::usage; });
    own.machine.stop();
    until([&] { return own.outcome.has_value(); });
}

BOOST_AUTO_TEST_CASE(the_guest_begins_again_with_its_first_registers) {
    test.load({0xfe, 0xc0, 0xe6, 0x10, 0xeb, 0xfa});
    test.start();
    until([&] { return device->writes > 3; });
    const auto work = [](Machine& machine, Counting& counting, bool& fresh) -> awaitable<void> {
        const Pause held = co_await machine.pause();
        co_await machine.reset();
        std::function<void(Cpu&)> look = [&fresh](Cpu& cpu) { fresh = (cpu.registers().rax & 0xff) == 0; };
        co_await machine.call(0, std::move(look));
        counting.writes = 0;
    };
    bool fresh = false;
    await(work(test.machine, *device, fresh));
    BOOST_TEST(fresh);
    BOOST_TEST(device->resets == 1u);
    until([&] { return device->writes > 3; });
    {
        const auto held = pause();
        BOOST_TEST(device->last == (device->writes & 0xff));
    }
    stop();
}

BOOST_AUTO_TEST_CASE(the_answer_to_an_access_from_before_is_dropped) {
    for (const Affinity affinity : {Affinity::in_place, Affinity::device_loop}) {
        const auto slow = std::make_shared<Slow>(affinity);
        Impatient inner;
        inner.test.machine.ports().attach({0x11, 1}, slow);
        inner.test.load({0xe4, 0x11, 0xe6, 0x10, 0xeb, 0xfe});
        inner.test.start();
        inner.until([&] { return slow->arrived.generation() == 1; });
        inner.await(inner.test.machine.reset());
        inner.until([&] { return slow->arrived.generation() == 2; });
        BOOST_TEST(inner.device->writes == 0u);
        slow->released.notify();
        slow->released.notify();
        inner.until([&] { return inner.device->writes == 1; });
        inner.stop();
    }
}

BOOST_AUTO_TEST_CASE(resets_of_several_threads_come_one_after_the_other_on_the_device_loop) {
    test.load({0xfe, 0xc0, 0xe6, 0x10, 0xeb, 0xfa});
    test.start();
    until([&] { return device->writes > 3; });
    std::atomic<int> done = 0;
    std::atomic<int> failed = 0;
    // They outlive the guest: a vCPU's thread resumes what runs there.
    std::array<asio::io_context, 3> contexts;
    std::vector<std::thread> others;
    for (auto& own : contexts) {
        others.emplace_back([&] {
            asio::co_spawn(own, test.machine.reset(), [&](std::exception_ptr e) { failed += e ? 1 : 0; });
            own.run();
            ++done;
        });
    }
    until([&] { return done == 3; });
    for (auto& other : others) other.join();
    BOOST_TEST(failed == 0);
    BOOST_TEST(device->resets == 3u);
    BOOST_CHECK(device->reset_on == std::this_thread::get_id());
    stop();
}

BOOST_FIXTURE_TEST_CASE(a_reset_that_is_cancelled_on_its_way_is_done_all_the_same, Impatient) {
    const auto slow = std::make_shared<Slow>();
    test.machine.ports().attach({0x11, 1}, slow);
    test.load({0xe4, 0x11, 0xe6, 0x10, 0xeb, 0xfe});
    test.start();
    until([&] { return slow->arrived.generation() == 1; });
    asio::cancellation_signal cancel;
    bool ended = false;
    asio::co_spawn(loop, test.machine.reset(), asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr e) {
                       BOOST_TEST(!e);
                       ended = true;
                   }));
    // The device is reset in the midst of it.
    until([&] { return device->resets == 1; });
    cancel.emit(asio::cancellation_type::terminal);
    until([&] { return ended && slow->arrived.generation() == 2; });
    stop();
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_has_halted_runs_again) {
    TestMachine two(loop, 2, make_accelerator_under_test(), [](MachineConfig& config) { config.resettable = true; });
    const auto counting = std::make_shared<Counting>();
    two.machine.ports().attach({0x10, 1}, counting);
    // test %bl, %bl; jz 1f; jmp .; 1: out %al, $0x10; hlt
    two.load({0x84, 0xdb, 0x74, 0x02, 0xeb, 0xfe, 0xe6, 0x10, 0xf4});
    auto spins = two.registers;
    spins.rbx = 1;
    two.machine.set_registers(1, spins);
    two.start();
    until([&] { return counting->writes == 1; });
    await(two.machine.reset());
    until([&] { return counting->writes == 2; });
    two.machine.stop();
    until([&] { return two.outcome.has_value(); });
}

BOOST_AUTO_TEST_CASE(the_embedder_loads_the_image_again) {
    TestMachine own(loop, 1, make_accelerator_under_test(), [this](MachineConfig& config) {
        config.resettable = true;
        config.on_reset = [this] { device->last = 99; };
    });
    own.load({0xeb, 0xfe});
    own.start();
    await(own.machine.reset());
    BOOST_TEST(device->last == 99u);
    own.machine.stop();
    until([&] { return own.outcome.has_value(); });
}

BOOST_AUTO_TEST_CASE(without_a_guest_that_runs_there_is_nothing_to_reset) {
    test.load({0xf4});
    BOOST_CHECK_THROW(await(test.machine.reset()), Error);
    test.run();
    BOOST_CHECK_THROW(await(test.machine.reset()), Error);
}

BOOST_AUTO_TEST_SUITE_END()
