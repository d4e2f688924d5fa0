// Pausing, and work on a vCPU's thread, with real guests.
#define BOOST_TEST_MODULE pause
#include <array>
#include <semaphore>
#include <thread>

#include "../unit/bus/devices.hpp"
#include "accelerator_under_test.hpp"
#include "pause_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

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
    BOOST_CHECK(device->clock().now() > now);
    // No access was lost and none came twice.
    second = pause();
    BOOST_TEST(device->last == (device->writes & 0xff));
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
    std::exception_ptr failure;
    asio::io_context own{1};  // outlives the guest: a vCPU's thread resumes what runs there
    std::thread other([&] {
        const auto work = [](Machine& machine, Counting& counting, unsigned& b, unsigned& a) -> awaitable<void> {
            const Pause held = co_await machine.pause();
            b = counting.writes;
            asio::steady_timer timer(co_await asio::this_coro::executor, 3ms);
            co_await timer.async_wait(use_awaitable);
            a = counting.writes;
        };
        asio::co_spawn(own, work(test.machine, *device, before, after), [&](std::exception_ptr e) { failure = e; });
        own.run();
        done = true;
    });
    until([&] { return done.load(); });
    other.join();
    BOOST_TEST(!failure);
    BOOST_TEST(before == after);
    until([&] { return device->writes > after; });
    stop();
}

BOOST_FIXTURE_TEST_CASE(an_access_that_a_device_holds_open_does_not_hold_the_pause_up, Impatient) {
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

BOOST_FIXTURE_TEST_CASE(a_device_that_works_for_longer_than_the_patience_ends_that_before_the_pause, Impatient) {
    std::binary_semaphore paused{0};
    std::atomic<bool> inside = false;
    device->on_write = [&](std::uint64_t) {
        inside = true;
        static_cast<void>(paused.try_acquire_for(200ms));
        device->context().memory.write(0x5000, std::array{std::byte{7}});
    };
    test.load({0xe6, 0x10, 0xeb, 0xfe});
    test.start();
    until([&] { return inside.load(); });
    const auto held = pause();
    std::array<std::byte, 1> now{};
    static_cast<void>(test.machine.memory().read(0x5000, now));
    paused.release();
    BOOST_TEST(std::to_integer<int>(now[0]) == 7);
    stop();
}

BOOST_AUTO_TEST_CASE(a_device_that_never_suspends_ends_the_pause) {
    TestMachine own(loop, 1, make_accelerator_under_test(), [](MachineConfig& config) {
        config.cancellation_patience = 5ms;
        config.stop_limit = 20ms;
    });
    std::binary_semaphore go{0};
    std::atomic<bool> inside = false;
    const auto busy = std::make_shared<Counting>();
    busy->on_write = [&](std::uint64_t) {
        inside = true;
        go.acquire();
    };
    own.machine.ports().attach({0x10, 1}, busy);
    own.load({0xe6, 0x10, 0xf4});
    own.start();
    until([&] { return inside.load(); });
    const auto work = [](Machine& machine) -> awaitable<void> { const Pause held = co_await machine.pause(); };
    BOOST_CHECK_EXCEPTION(await(work(own.machine)), Error, [](const Error& error) {
        return std::string_view(error.what()).find("vCPU 0 does not come to rest: it is still in device counting") !=
               std::string::npos;
    });
    go.release();
    until([&] { return own.outcome.has_value(); });
    BOOST_TEST(busy->writes == 1u);
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

BOOST_AUTO_TEST_CASE(a_vcpu_that_has_halted_is_reported_after_the_run_and_one_that_has_not_begun_is_not) {
    test.load({0xe6, 0x10, 0xf4});
    std::string text = "none";
    const auto work = [](Machine& machine, std::string& to) -> awaitable<void> { to = co_await machine.report(0); };
    await(work(test.machine, text));
    BOOST_TEST(text.empty());
    test.run();
    await(work(test.machine, text));
    BOOST_TEST(text.starts_with("halted at 0x1000"), text);
    BOOST_TEST(text.find("hint: ") == std::string::npos, text);
    BOOST_TEST(text.find("out 0x10") != std::string::npos, text);
    BOOST_TEST(text.find("registers of vCPU 0:") != std::string::npos, text);
}

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
