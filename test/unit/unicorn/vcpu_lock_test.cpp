#include <atomic>
#include <chrono>
#include <thread>

#include "accel/unicorn/vcpu_lock.hpp"
#include "accelerator_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_SUITE(vcpu_lock)

BOOST_AUTO_TEST_CASE(a_kick_before_the_run_is_kept_for_it) {
    AcceleratorFixture fixture(Mode::real16, {0xeb, 0xfe});
    fixture.cpu().kick();
    BOOST_TEST(fixture.next_is<Interrupted>());
    fixture.cpu().kick();
    fixture.cpu().kick();
    BOOST_TEST(fixture.next_is<Interrupted>());
}

BOOST_AUTO_TEST_CASE(a_kick_ends_a_loop_and_the_guest_can_go_on) {
    // out %al, $0x20; jmp .; (behind) mov $1, %al ...
    for (const Mode mode : {Mode::real16, Mode::protected32, Mode::long64}) {
        AcceleratorFixture fixture(mode, {0xe6, 0x20, 0xeb, 0xfe});
        BOOST_TEST(fixture.next_is<PortAccess>());
        for (int round = 0; round < 20; ++round) {
            std::thread kicker([&] { fixture.cpu().kick(); });
            BOOST_TEST(fixture.next_is<Interrupted>());
            kicker.join();
            BOOST_TEST(fixture.cpu().registers().rip - fixture.start.rip == 2u);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_kick_ends_a_long_string_between_two_elements) {
    // mov $-1, %ecx; cld; rep lodsb: forever, nearly
    AcceleratorFixture fixture(Mode::protected32, {0xb9, 0xff, 0xff, 0xff, 0xff, 0xfc, 0x31, 0xf6, 0xf3, 0xac});
    std::thread kicker([&] { fixture.cpu().kick(); });
    BOOST_TEST(fixture.next_is<Interrupted>());
    kicker.join();
}

BOOST_AUTO_TEST_CASE(a_kicked_access_is_completed_first) {
    AcceleratorFixture fixture(Mode::real16, {0xe4, 0x10, 0xeb, 0xfe});  // in $0x10, %al; jmp .
    const Exit exit = fixture.cpu().run();
    std::get<PortAccess>(exit).data[0] = std::byte{0x33};
    fixture.cpu().kick();
    BOOST_TEST(fixture.next_is<Interrupted>());
    BOOST_TEST((fixture.cpu().registers().rax & 0xff) == 0x33u);
    BOOST_TEST(fixture.cpu().registers().rip == 2u);
}

BOOST_AUTO_TEST_CASE(locked_instructions_of_two_vcpus_lose_nothing) {
    // mov $100000, %ecx; again: lock incl 0x20000; loop again; hlt
    AcceleratorFixture fixture(
        Mode::protected32, {0xb9, 0xa0, 0x86, 0x01, 0x00, 0xf0, 0xff, 0x05, 0x00, 0x00, 0x02, 0x00, 0xe2, 0xf7, 0xf4}, 2);
    std::atomic<int> halted = 0;
    const auto run = [&](Cpu& cpu) {
        if (std::holds_alternative<Halted>(cpu.run())) ++halted;
    };
    std::thread other([&] { run(*fixture.cpus[1]); });
    run(*fixture.cpus[0]);
    other.join();
    BOOST_TEST(halted == 2);
    std::uint32_t count = 0;
    std::memcpy(&count, fixture.memory.try_at(0x20000, 4).data(), sizeof count);
    BOOST_TEST(count == 200'000u);
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_waits_in_a_loop_for_another_gets_there) {
    // The first waits for a byte, the second (%ebx != 0) sets it.
    AcceleratorFixture fixture(Mode::protected32, {0x85, 0xdb,                                // test %ebx, %ebx
                                                   0x75, 0x0a,                                // jnz set
                                                   0x80, 0x3d, 0x00, 0x00, 0x02, 0x00, 0x00,  // wait: cmpb $0, 0x20000
                                                   0x74, 0xf7,                                // je wait
                                                   0xf4,                                      // hlt
                                                   0xfe, 0x05, 0x00, 0x00, 0x02, 0x00,        // set: incb 0x20000
                                                   0xf4},                                     // hlt
                               2);
    fixture.start.rbx = 1;
    fixture.cpus[1]->set_registers(fixture.start);
    std::atomic<bool> other_halted = false;
    std::thread other;
    const auto start_other = [&] { other_halted = std::holds_alternative<Halted>(fixture.cpus[1]->run()); };
    std::thread first([&] { static_cast<void>(fixture.cpus[0]->run()); });
    other = std::thread(start_other);
    first.join();
    other.join();
    BOOST_TEST(other_halted);
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_waits_for_the_lock_can_be_kicked) {
    unicorn::VcpuLock vcpu_lock;
    std::atomic<bool> first = false, second = false, taken = true;
    BOOST_TEST(vcpu_lock.lock(first));
    std::thread waiter([&] { taken = vcpu_lock.lock(second); });
    while (!vcpu_lock.wanted()) std::this_thread::yield();
    second = true;
    vcpu_lock.wake();
    waiter.join();
    BOOST_TEST(!taken);
    BOOST_TEST(!vcpu_lock.wanted());
    vcpu_lock.unlock();
    second = false;
    BOOST_TEST(vcpu_lock.lock(second));
    vcpu_lock.unlock();
}

BOOST_AUTO_TEST_CASE(the_lock_is_given_in_the_order_of_waiting) {
    unicorn::VcpuLock vcpu_lock;
    std::atomic<bool> holder = false;
    BOOST_TEST(vcpu_lock.lock(holder));
    std::string order;
    std::atomic<bool> flags[3]{};
    std::vector<std::thread> waiters;
    for (char name = 'a'; name < 'd'; ++name) {
        waiters.emplace_back([&, name] {
            if (!vcpu_lock.lock(flags[name - 'a'])) return;
            order += name;
            vcpu_lock.unlock();
        });
        // A waiter is counted; wait until this one is.
        while (vcpu_lock.waiting() != static_cast<unsigned>(name - 'a') + 1) std::this_thread::yield();
    }
    vcpu_lock.unlock();
    for (std::thread& waiter : waiters) waiter.join();
    BOOST_TEST(order == "abc");
}

BOOST_AUTO_TEST_CASE(a_vcpu_runs_for_a_while_on_a_thread_that_has_other_work) {
    constexpr std::chrono::milliseconds limit{1};
    // out %al, $0x20; inc %eax; jmp to the inc
    AcceleratorFixture fixture(Mode::protected32, {0xe6, 0x20, 0x40, 0xeb, 0xfd}, 2);
    // Whoever debugs it must not wait until an engine is set up.
    BOOST_TEST(!fixture.cpu().run_within(limit).has_value());
    BOOST_TEST(fixture.cpu().registers().rip == fixture.start.rip);
    std::thread([&] { fixture.next_out(); }).join();

    const auto begin = std::chrono::steady_clock::now();
    auto exit = fixture.cpu().run_within(limit);
    BOOST_TEST_REQUIRE(exit.has_value());
    BOOST_TEST(std::holds_alternative<Interrupted>(*exit));
    BOOST_TEST((std::chrono::steady_clock::now() - begin >= limit));
    const std::uint64_t counted = fixture.cpu().registers().rax;
    // More than one time slice: it is no end.
    BOOST_TEST(counted > 0u);

    fixture.cpu().kick();
    exit = fixture.cpu().run_within(std::chrono::hours{1});
    BOOST_TEST_REQUIRE(exit.has_value());
    BOOST_TEST(std::holds_alternative<Interrupted>(*exit));

    BOOST_TEST(fixture.cpu().set_debug({.single_step = true}));
    for (unsigned step = 0; step < 10; ++step) {
        const std::uint64_t from = fixture.cpu().registers().rip;
        exit = fixture.cpu().run_within(std::chrono::hours{1});
        BOOST_TEST_REQUIRE(exit.has_value());
        BOOST_TEST(std::holds_alternative<Debug>(*exit));
        BOOST_TEST(fixture.cpu().registers().rip != from);
    }
}

BOOST_AUTO_TEST_CASE(a_vcpu_is_not_entered_while_another_one_runs) {
    // out %al, $0x20; jmp .
    AcceleratorFixture fixture(Mode::protected32, {0xe6, 0x20, 0xeb, 0xfe}, 2);
    fixture.next_out();
    Cpu& other = *fixture.cpus[1];
    BOOST_TEST(std::holds_alternative<PortAccess>(other.run()));
    std::atomic<bool> enters = false;
    std::thread spins([&] {
        enters = true;
        static_cast<void>(other.run());
    });
    // The other one has the lock until it is kicked, but between two of its time slices.
    while (!enters || fixture.cpu().run_within(std::chrono::nanoseconds{0}).has_value()) std::this_thread::yield();
    other.kick();
    spins.join();
    BOOST_TEST(fixture.cpu().run_within(std::chrono::nanoseconds{0}).has_value());
}

BOOST_AUTO_TEST_SUITE_END()
