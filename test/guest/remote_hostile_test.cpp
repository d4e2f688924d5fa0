// Processes that die, hang, lie or flood while a guest uses them as a device.
#define BOOST_TEST_MODULE remote
#include <boost/test/unit_test.hpp>

#include <cstdio>

#include "guest_code.hpp"
#include "remote_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

// Reads the scratch register once; then the first byte of it again and again until it is 0x78.
GUEST_CODE(guest_that_reads, 16, R"(
    mov $0x300, %dx
    inl %dx, %eax
    outl %eax, $0x10
1:  inb %dx, %al
    cmp $0x78, %al
    jne 1b
    outb %al, $0x10
    hlt
)")

BOOST_FIXTURE_TEST_SUITE(a_process_that, RemoteFixture)

BOOST_AUTO_TEST_CASE(is_killed_in_an_access_is_gone_and_comes_again) {
    // The next one is another program.
    spec.place = "if test -e " + std::string(std::getenv("REMOTE_PEER")) + "-$PPID; then exec " + peer("name=next") +
                 "; else touch " + std::string(std::getenv("REMOTE_PEER")) + "-$PPID; exec " + peer("conduct=dies") + "; fi";
    attach();
    test.load(guest_that_reads(), Mode::real16);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    expect({0xffffffff, 0x78});
    BOOST_TEST(count("is gone: it has closed the connection (the guest reads all-ones until it is there again)") == 1u,
               all_lines());
    BOOST_TEST(count("next at '" + spec.place + "' is there again") == 1u, all_lines());
    std::remove((std::string(std::getenv("REMOTE_PEER")) + "-" + std::to_string(::getpid())).c_str());
}

BOOST_AUTO_TEST_CASE(is_gone_keeps_accesses_waiting_if_that_is_wanted) {
    spec.lost_waits = true;
    const auto mark = std::string(std::getenv("REMOTE_PEER")) + "-wait-$PPID";
    spec.place = "if test -e " + mark + "; then exec " + peer("name=next") + "; else touch " + mark + "; exec " +
                 peer("conduct=exits") + "; fi";
    attach();
    test.load(guest_that_reads(), Mode::real16);
    BOOST_TEST((test.run().kind == Outcome::Kind::halted));
    expect({0x12345678, 0x78});
    BOOST_TEST(count("the guest's accesses wait until it is there again") == 1u, all_lines());
    std::remove((std::string(std::getenv("REMOTE_PEER")) + "-wait-" + std::to_string(::getpid())).c_str());
}

BOOST_AUTO_TEST_CASE(lies_or_sends_nonsense_is_cut_off) {
    const std::pair<const char*, const char*> cases[]{
        {"lies", "it replies to REGION_READ with id 2, which has not been sent"},
        {"huge", "it sends a frame of 1073741824 bytes, and 16 to 4128 are allowed"}};
    for (const auto& [conduct, why] : cases) {
        RemoteFixture one;
        one.spec.reconnect.reset();
        one.attach(std::string("conduct=") + conduct);
        one.test.load(guest_that_reads(), Mode::real16);
        one.test.start();
        one.until([&] { return one.count("is gone") == 1; });
        BOOST_TEST(one.count(std::string("is gone: ") + why +
                             " (there will be no other one: reads are all-ones from now on)") == 1u,
                   one.all_lines());
        one.until([&] { return !one.notes->values().empty(); });
        one.stop();
        one.expect({0xffffffff});
    }
}

BOOST_AUTO_TEST_CASE(does_not_answer_costs_the_timeout_and_is_given_up) {
    for (const char* const conduct : {"mute-reads", "half"}) {
        RemoteFixture one;
        one.spec.timeout = std::chrono::milliseconds(16);
        one.spec.reconnect.reset();
        one.attach(std::string("conduct=") + conduct);
        one.test.load(guest_that_reads(), Mode::real16);
        one.test.start();
        one.until([&] { return one.count("is gone") == 1; });
        BOOST_TEST(one.count("has not answered REGION_READ at port 0x300 for 16 ms: the guest reads all-ones") == 1u,
                   one.all_lines());
        BOOST_TEST(one.count("64 accesses in a row got no answer; 64 accesses got no answer in time") == 1u,
                   one.all_lines());
        one.stop();
        one.expect({0xffffffff});
    }
}

BOOST_AUTO_TEST_CASE(refuses_accesses_is_told_of_and_stays) {
    attach("conduct=refuses");
    test.load(guest_that_reads(), Mode::real16);
    test.start();
    until([&] { return count("refuses REGION_READ at port 0x300: input/output error") >= 3; });
    stop();
    expect({0xffffffff});
    BOOST_TEST(count("is gone") == 0u, all_lines());
}

BOOST_AUTO_TEST_CASE(floods_the_machine_harms_neither_it_nor_its_end) {
    for (const char* const words : {"conduct=floods-irq", "conduct=floods-log", "conduct=deaf caps=1"}) {
        RemoteFixture one;
        one.spec.memory = RemoteSpec::Memory::read_only;
        one.spec.irqs = {5};
        one.attach(words);
        one.test.load(guest_that_reads(), Mode::real16);
        one.test.start();
        // The loop goes on meanwhile.
        unsigned ticks = 0;
        asio::steady_timer timer(one.loop);
        std::function<void()> tick = [&] {
            timer.expires_after(std::chrono::milliseconds(1));
            timer.async_wait([&](std::error_code error) {
                ++ticks;
                if (!error) tick();
            });
        };
        tick();
        one.until([&] { return ticks > 100; });
        timer.cancel();
        BOOST_TEST(one.notes->values().empty());
        const auto began = std::chrono::steady_clock::now();
        one.stop();
        BOOST_TEST((std::chrono::steady_clock::now() - began < std::chrono::seconds(20)));
        if (one.count("says") > 0) BOOST_TEST(one.count("says: flood ?[31m") <= 30u, one.all_lines());
    }
}

BOOST_AUTO_TEST_CASE(hangs_in_an_access_does_not_keep_the_machine_from_stopping) {
    attach("conduct=mute-reads");
    test.load(guest_that_reads(), Mode::real16);
    test.start();
    asio::steady_timer timer(loop, std::chrono::milliseconds(50));
    bool waited = false;
    timer.async_wait([&waited](std::error_code) { waited = true; });
    until([&] { return waited; });
    stop();
    BOOST_TEST(notes->values().empty());
}

BOOST_AUTO_TEST_SUITE_END()
