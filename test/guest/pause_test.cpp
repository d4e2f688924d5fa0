// Pausing, resetting, and work on a vCPU's thread, with real guests.
#define BOOST_TEST_MODULE pause
#include <asyncvm/event.hpp>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

namespace {

/// Counts writes, and background steps that the machine's gate and clock let through.
class Counting : public Device {
public:
    std::string_view name() const noexcept override { return "counting"; }
    void attached(const DeviceContext& context) override { context_.emplace(context); }
    awaitable<void> write(const Access& access) override {
        last = access.data;
        ++writes;
        written.notify();
        co_return;
    }
    awaitable<void> read(Access&) override { co_return; }
    awaitable<void> run() override {
        for (;;) {
            co_await context_->clock.wait_until(context_->clock.now() + 100us);
            co_await PauseGate::passed(context_->gate);
            ++steps;
            stepped.notify();
        }
    }
    void reset() override {
        reset_on = std::this_thread::get_id();
        ++resets;
    }
    [[nodiscard]] MachineClock& clock() { return context_->clock; }

    std::atomic<unsigned> writes = 0;
    std::atomic<std::uint64_t> last = 0;
    std::atomic<unsigned> steps = 0;
    std::atomic<unsigned> resets = 0;
    std::thread::id reset_on;
    Event written;
    Event stepped;

private:
    std::optional<DeviceContext> context_;
};

struct Fixture {
    asio::io_context loop{1};
    TestMachine test{loop, 1, make_accelerator_under_test(),
                     [](MachineConfig& config) { config.cancellation_patience = 20ms; }};
    std::shared_ptr<Counting> device = std::make_shared<Counting>();

    Fixture() { test.machine.ports().attach({0x10, 1}, device); }

    /// Runs the loop until `work` has ended, and throws what it throws.
    void await(awaitable<void> work) {
        bool ended = false;
        std::exception_ptr failure;
        asio::co_spawn(loop, std::move(work), [&](std::exception_ptr e) {
            failure = e;
            ended = true;
        });
        until([&] { return ended; });
        if (failure) std::rethrow_exception(failure);
    }

    void until(const std::function<bool()>& condition) {
        loop.restart();
        const auto limit = std::chrono::steady_clock::now() + patience;
        while (!condition() && std::chrono::steady_clock::now() < limit) loop.run_one_for(10ms);
        BOOST_REQUIRE(condition());
    }

    [[nodiscard]] Pause pause() {
        std::optional<Pause> held;
        const auto work = [](Machine& machine, std::optional<Pause>& to) -> awaitable<void> {
            to.emplace(co_await machine.pause());
        };
        await(work(test.machine, held));
        return std::move(*held);
    }

    void stop() {
        test.machine.stop();
        until([&] { return test.outcome || test.failure; });
        BOOST_TEST(!test.failure);
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pausing, Fixture)

BOOST_AUTO_TEST_CASE(nothing_of_the_guest_moves_while_a_pause_is_held) {
    test.load({0xfe, 0xc0, 0xe6, 0x10, 0xeb, 0xfa});
    test.start();
    until([&] { return device->writes > 3 && device->steps > 1; });
    auto first = pause();
    auto second = pause();
    const unsigned writes = device->writes;
    const unsigned steps = device->steps;
    const auto now = device->clock().now();
    loop.run_for(5ms);
    first.release();
    first.release();
    loop.run_for(5ms);
    BOOST_TEST(device->writes == writes);
    BOOST_TEST(device->steps == steps);
    BOOST_CHECK(device->clock().now() == now);
    second.release();
    until([&] { return device->writes > writes + 3 && device->steps > steps; });
    // No access was lost and none came twice.
    BOOST_TEST(device->last == (device->writes & 0xff));
    BOOST_CHECK(device->clock().now() > now);
    stop();
}

BOOST_AUTO_TEST_CASE(a_thousand_pauses_lose_no_access) {
    test.load({0xfe, 0xc0, 0xe6, 0x10, 0xeb, 0xfa});
    test.start();
    until([&] { return device->writes > 0; });
    for (int round = 0; round < 1000; ++round) {
        const auto held = pause();
        BOOST_REQUIRE(device->last == (device->writes & 0xff));
    }
    stop();
}

BOOST_AUTO_TEST_CASE(a_pause_before_the_run_holds_the_first_instruction_back) {
    test.load({0xe6, 0x10, 0xeb, 0xfe});
    auto held = pause();
    test.start();
    std::uint64_t rip = 0;
    const auto work = [](Machine& machine, std::uint64_t& to) -> awaitable<void> {
        std::function<void(Cpu&)> look = [&to](Cpu& cpu) { to = cpu.registers().rip; };
        // The machine comes to rest first.
        const Pause rest = co_await machine.pause();
        co_await machine.call(0, std::move(look));
    };
    await(work(test.machine, rip));
    BOOST_TEST(rip == test.registers.rip);
    BOOST_TEST(device->writes == 0u);
    held.release();
    until([&] { return device->writes == 1; });
    stop();
}

BOOST_AUTO_TEST_CASE(another_thread_can_pause) {
    test.load({0xfe, 0xc0, 0xe6, 0x10, 0xeb, 0xfa});
    test.start();
    until([&] { return device->writes > 0; });
    std::atomic<bool> done = false;
    unsigned before = 0;
    unsigned after = 1;
    std::thread other([&] {
        asio::io_context own{1};
        const auto work = [](Machine& machine, Counting& counting, unsigned& b, unsigned& a) -> awaitable<void> {
            const Pause held = co_await machine.pause();
            b = counting.writes;
            asio::steady_timer timer(co_await asio::this_coro::executor, 3ms);
            co_await timer.async_wait(use_awaitable);
            a = counting.writes;
        };
        asio::co_spawn(own, work(test.machine, *device, before, after), [](std::exception_ptr e) { BOOST_TEST(!e); });
        own.run();
        done = true;
    });
    until([&] { return done.load(); });
    other.join();
    BOOST_TEST(before == after);
    until([&] { return device->writes > after; });
    stop();
}

BOOST_AUTO_TEST_CASE(an_access_that_a_device_holds_open_does_not_hold_the_pause_up) {
    const auto slow = std::make_shared<Slow>();
    test.machine.ports().attach({0x11, 1}, slow);
    test.load({0xe4, 0x11, 0xe6, 0x10, 0xeb, 0xfe});  // in $0x11, %al; out %al, $0x10; jmp .
    test.start();
    until([&] { return slow->arrived.generation() > 0; });
    auto held = pause();
    slow->released.notify();
    loop.run_for(5ms);
    BOOST_TEST(device->writes == 0u);
    held.release();
    until([&] { return device->writes == 1; });
    stop();
}

BOOST_AUTO_TEST_CASE(a_machine_can_be_stopped_in_a_pause) {
    test.load({0xeb, 0xfe});
    test.start();
    const auto held = pause();
    stop();
    BOOST_CHECK(test.outcome->kind == Outcome::Kind::stopped);
}

BOOST_AUTO_TEST_CASE(a_pause_may_outlive_its_machine) {
    std::optional<Pause> held;
    {
        TestMachine own(loop);
        own.load({0xeb, 0xfe});
        own.start();
        const auto work = [](Machine& machine, std::optional<Pause>& to) -> awaitable<void> {
            to.emplace(co_await machine.pause());
        };
        await(work(own.machine, held));
        own.machine.stop();
        until([&] { return own.outcome.has_value(); });
    }
    held->release();
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(calling, Fixture)

BOOST_AUTO_TEST_CASE(work_runs_on_the_thread_of_a_vcpu_that_spins) {
    test.load({0xeb, 0xfe, 0xe6, 0x10, 0xeb, 0xfe});  // jmp .; out %al, $0x10; jmp .
    test.start();
    std::thread::id thread = std::this_thread::get_id();
    const auto work = [](Machine& machine, std::thread::id& to) -> awaitable<void> {
        std::function<void(Cpu&)> skip = [&to](Cpu& cpu) {
            to = std::this_thread::get_id();
            auto registers = cpu.registers();
            registers.rip += 2;
            cpu.set_registers(registers);
        };
        co_await machine.call(0, std::move(skip));
    };
    await(work(test.machine, thread));
    BOOST_CHECK(thread != std::this_thread::get_id());
    until([&] { return device->writes == 1; });
    stop();
}

BOOST_AUTO_TEST_CASE(what_the_work_throws_reaches_the_caller) {
    test.load({0xeb, 0xfe});
    test.start();
    const auto work = [](Machine& machine) -> awaitable<void> {
        std::function<void(Cpu&)> fail = [](Cpu&) { throw std::runtime_error("no"); };
        co_await machine.call(0, std::move(fail));
    };
    BOOST_CHECK_THROW(await(work(test.machine)), std::runtime_error);
    stop();
}

BOOST_AUTO_TEST_CASE(work_runs_while_a_device_holds_the_access_and_after_the_end) {
    const auto slow = std::make_shared<Slow>();
    test.machine.ports().attach({0x11, 1}, slow);
    test.load({0xe4, 0x11, 0xf4});
    test.start();
    until([&] { return slow->arrived.generation() > 0; });
    int calls = 0;
    const auto work = [](Machine& machine, int& count) -> awaitable<void> {
        std::function<void(Cpu&)> look = [&count](Cpu&) { ++count; };
        co_await machine.call(0, std::move(look));
    };
    await(work(test.machine, calls));
    slow->released.notify();
    until([&] { return test.outcome.has_value(); });
    await(work(test.machine, calls));
    BOOST_TEST(calls == 2);
    BOOST_CHECK_THROW(await(test.machine.call(1, [](Cpu&) {})), std::out_of_range);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(resetting, Fixture)

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
        Fixture inner;
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
    std::vector<std::thread> others;
    for (int other = 0; other < 3; ++other) {
        others.emplace_back([&] {
            asio::io_context own{1};
            asio::co_spawn(own, test.machine.reset(), [](std::exception_ptr e) { BOOST_TEST(!e); });
            own.run();
            ++done;
        });
    }
    until([&] { return done == 3; });
    for (auto& other : others) other.join();
    BOOST_TEST(device->resets == 3u);
    BOOST_CHECK(device->reset_on == std::this_thread::get_id());
    stop();
}

BOOST_AUTO_TEST_CASE(a_reset_that_is_cancelled_on_its_way_is_done_all_the_same) {
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
    TestMachine two(loop, 2);
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
    TestMachine own(loop, 1, make_accelerator_under_test(),
                    [this](MachineConfig& config) { config.on_reset = [this] { device->last = 99; }; });
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
