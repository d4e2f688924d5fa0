#include <atomic>
#include <chrono>
#include <thread>

#include "accel/unicorn/baton.hpp"
#include "accelerator_bench.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_SUITE(turns)

BOOST_AUTO_TEST_CASE(a_kick_before_the_run_is_kept_for_it) {
    AcceleratorBench bench(Mode::real16, {0xeb, 0xfe});
    bench.cpu().kick();
    BOOST_TEST(bench.next_is<Interrupted>());
    bench.cpu().kick();
    bench.cpu().kick();
    BOOST_TEST(bench.next_is<Interrupted>());
}

BOOST_AUTO_TEST_CASE(a_kick_ends_a_loop_and_the_guest_can_go_on) {
    // out %al, $0x20; jmp .; (behind) mov $1, %al ...
    for (const Mode mode : {Mode::real16, Mode::protected32, Mode::long64}) {
        AcceleratorBench bench(mode, {0xe6, 0x20, 0xeb, 0xfe});
        BOOST_TEST(bench.next_is<PortAccess>());
        for (int round = 0; round < 20; ++round) {
            std::thread kicker([&] { bench.cpu().kick(); });
            BOOST_TEST(bench.next_is<Interrupted>());
            kicker.join();
            BOOST_TEST(bench.cpu().registers().rip - bench.start.rip == 2u);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_kick_ends_a_long_string_between_two_elements) {
    // mov $-1, %ecx; cld; rep lodsb: forever, nearly
    AcceleratorBench bench(Mode::protected32, {0xb9, 0xff, 0xff, 0xff, 0xff, 0xfc, 0x31, 0xf6, 0xf3, 0xac});
    std::thread kicker([&] { bench.cpu().kick(); });
    BOOST_TEST(bench.next_is<Interrupted>());
    kicker.join();
}

BOOST_AUTO_TEST_CASE(a_kicked_access_is_completed_first) {
    AcceleratorBench bench(Mode::real16, {0xe4, 0x10, 0xeb, 0xfe});  // in $0x10, %al; jmp .
    const Exit exit = bench.cpu().run();
    std::get<PortAccess>(exit).data[0] = std::byte{0x33};
    bench.cpu().kick();
    BOOST_TEST(bench.next_is<Interrupted>());
    BOOST_TEST((bench.cpu().registers().rax & 0xff) == 0x33u);
    BOOST_TEST(bench.cpu().registers().rip == 2u);
}

BOOST_AUTO_TEST_CASE(locked_instructions_of_two_vcpus_lose_nothing) {
    // mov $100000, %ecx; again: lock incl 0x20000; loop again; hlt
    AcceleratorBench bench(Mode::protected32,
                           {0xb9, 0xa0, 0x86, 0x01, 0x00, 0xf0, 0xff, 0x05, 0x00, 0x00, 0x02, 0x00, 0xe2, 0xf7, 0xf4}, 2);
    std::atomic<int> halted = 0;
    const auto run = [&](Cpu& cpu) {
        if (std::holds_alternative<Halted>(cpu.run())) ++halted;
    };
    std::thread other([&] { run(*bench.cpus[1]); });
    run(*bench.cpus[0]);
    other.join();
    BOOST_TEST(halted == 2);
    std::uint32_t count = 0;
    std::memcpy(&count, bench.memory.try_at(0x20000, 4).data(), sizeof count);
    BOOST_TEST(count == 200'000u);
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_waits_in_a_loop_for_another_gets_there) {
    // The first waits for a byte, the second (%ebx != 0) sets it.
    AcceleratorBench bench(Mode::protected32, {0x85, 0xdb,                                // test %ebx, %ebx
                                               0x75, 0x0a,                                // jnz set
                                               0x80, 0x3d, 0x00, 0x00, 0x02, 0x00, 0x00,  // wait: cmpb $0, 0x20000
                                               0x74, 0xf7,                                // je wait
                                               0xf4,                                      // hlt
                                               0xfe, 0x05, 0x00, 0x00, 0x02, 0x00,        // set: incb 0x20000
                                               0xf4},                                     // hlt
                           2);
    bench.start.rbx = 1;
    bench.cpus[1]->set_registers(bench.start);
    std::atomic<bool> other_halted = false;
    std::thread other;
    const auto start_other = [&] { other_halted = std::holds_alternative<Halted>(bench.cpus[1]->run()); };
    std::thread first([&] { static_cast<void>(bench.cpus[0]->run()); });
    other = std::thread(start_other);
    first.join();
    other.join();
    BOOST_TEST(other_halted);
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_waits_for_its_turn_can_be_kicked) {
    unicorn::Baton baton;
    std::atomic<bool> first = false, second = false, taken = true;
    BOOST_TEST(baton.take(first));
    std::thread waiter([&] { taken = baton.take(second); });
    while (!baton.wanted()) std::this_thread::yield();
    second = true;
    baton.wake();
    waiter.join();
    BOOST_TEST(!taken);
    BOOST_TEST(!baton.wanted());
    baton.give();
    second = false;
    BOOST_TEST(baton.take(second));
    baton.give();
}

BOOST_AUTO_TEST_CASE(turns_come_in_the_order_of_waiting) {
    unicorn::Baton baton;
    std::atomic<bool> holder = false;
    BOOST_TEST(baton.take(holder));
    std::string order;
    std::atomic<bool> flags[3]{};
    std::vector<std::thread> waiters;
    for (char name = 'a'; name < 'd'; ++name) {
        waiters.emplace_back([&, name] {
            if (!baton.take(flags[name - 'a'])) return;
            order += name;
            baton.give();
        });
        // A waiter is counted; wait until this one is.
        while (baton.waiting() != static_cast<unsigned>(name - 'a') + 1) std::this_thread::yield();
    }
    baton.give();
    for (std::thread& waiter : waiters) waiter.join();
    BOOST_TEST(order == "abc");
}

BOOST_AUTO_TEST_SUITE_END()
