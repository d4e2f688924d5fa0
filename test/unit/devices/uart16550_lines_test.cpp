// The UART's interrupt and modem lines, its timer, and its threads.
#include "uart16550_fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <thread>

using namespace asyncvm;
using namespace std::chrono_literals;
using R = Uart16550Registers;

namespace {

/// A vCPU that sends `count` characters as fast as it can and reads everything that comes until `expected` have come.
awaitable<void> busy_guest(Uart16550& uart, int count, std::size_t expected, std::string& received) {
    Access access;
    for (int i = 0; i < count || received.size() < expected; ++i) {
        if (i < count) {
            access.offset = R::data;
            access.data = static_cast<unsigned>('a' + i % 26);
            co_await uart.write(access);
        }
        access.offset = R::line_status;
        co_await uart.read(access);
        if ((access.data & R::lsr_data_ready) != 0) {
            access.offset = R::data;
            co_await uart.read(access);
            received += static_cast<char>(access.data);
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_interrupt_line_follows_the_transmitter) {
    UartFixture b(2);
    b.start();
    BOOST_TEST(!b.pin.level());
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_transmitter_empty));
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.in(R::identification) == R::iir_transmitter_empty);
    BOOST_TEST(!b.pin.level());
    BOOST_TEST(b.out(R::data, 'a'));
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.out(R::data, 'b'));
    BOOST_TEST(!b.pin.level());  // the queue is full
    BOOST_TEST(b.in(R::identification) == R::iir_none);
    BOOST_TEST(b.chardev->take() == "ab");
    b.turn();
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.in(R::identification) == R::iir_transmitter_empty);
}

BOOST_AUTO_TEST_CASE(each_character_makes_an_edge_of_the_transmitter_interrupt) {
    UartFixture b;
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_transmitter_empty));
    for (unsigned i = 1; i <= 20; ++i) {
        BOOST_TEST(b.rising == i);
        BOOST_TEST(b.out(R::data, 'x'));  // without a look at the identification
        BOOST_TEST(b.falling == i);
    }
    BOOST_TEST(b.begin_outs(R::data, "string")->done);
    BOOST_TEST(b.rising == 22u);
}

BOOST_AUTO_TEST_CASE(no_transmitter_interrupt_comes_while_a_write_waits) {
    UartFixture b(2);
    b.start();
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_transmitter_empty));
    BOOST_TEST(b.begin_outs(R::data, "ab")->done);
    const auto write = b.begin_out(R::data, 'c');
    BOOST_TEST(!write->done);
    BOOST_TEST(b.chardev->take() == "ab");
    b.loop.poll();  // run() before the vCPU
    BOOST_TEST(!b.pin.level());
    b.turn();
    BOOST_TEST(write->done);
    BOOST_TEST(b.pin.level());
}

BOOST_AUTO_TEST_CASE(carrier_detect_alone_follows_the_client) {
    constexpr unsigned flow = R::msr_cts | R::msr_dsr;
    UartFixture b(4096, false);
    b.start();
    BOOST_TEST(b.in(R::modem_status) == flow);  // there is room for output, whoever will read it
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_modem_status));
    b.chardev->set_connected(true);
    b.turn();
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.in(R::identification) == R::iir_modem_status);
    BOOST_TEST(b.in(R::modem_status) == (flow | R::msr_dcd | R::msr_delta_dcd));
    BOOST_TEST(!b.pin.level());
    b.chardev->set_connected(false);
    b.turn();
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.in(R::modem_status) == (flow | R::msr_delta_dcd));
}

BOOST_AUTO_TEST_CASE(clear_to_send_drops_while_the_queue_is_full_and_interrupts_when_there_is_room) {
    constexpr unsigned flow = R::msr_cts | R::msr_dsr;
    constexpr unsigned deltas = R::msr_delta_cts | R::msr_delta_dsr;
    UartFixture b(64, false);
    b.start();
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_modem_status));
    for (int i = 0; i < 48; ++i) BOOST_TEST_REQUIRE(b.out(R::data, 'x'));
    BOOST_TEST(b.in(R::modem_status) == flow);  // room for a burst of 16
    BOOST_TEST(b.out(R::data, 'x'));
    BOOST_TEST(b.pin.level());
    const auto poll = b.begin_in(R::modem_status);  // a guest that polls for CTS sleeps meanwhile
    BOOST_TEST(!poll->done);
    BOOST_TEST(b.chardev->take(17).size() == 17u);
    b.turn();
    BOOST_TEST(poll->done);
    BOOST_TEST(poll->value == (flow | deltas));
}

BOOST_AUTO_TEST_CASE(a_guest_that_honours_clear_to_send_never_waits_in_a_write) {
    UartFixture b(100, false);
    std::size_t sent = 0;
    std::size_t taken = 0;
    for (int round = 0; round < 200; ++round) {
        b.turn();
        const auto status = b.begin_in(R::modem_status);
        if (!status->done) {  // the queue is full: the client reads a little
            taken += b.chardev->take(7).size();
            b.pass(Uart16550::full_queue_pause);
        }
        BOOST_TEST_REQUIRE(status->done);
        if ((status->value & R::msr_cts) == 0) continue;
        // As drivers do that have seen an empty transmitter: a FIFO's worth without another look.
        for (int i = 0; i < 16; ++i, ++sent) BOOST_TEST_REQUIRE(b.out(R::data, 'x'));
    }
    BOOST_TEST(sent > 500u);
    BOOST_TEST(sent == taken + b.chardev->take().size());
}

BOOST_AUTO_TEST_CASE(a_client_that_was_there_at_power_on_is_no_change) {
    UartFixture b;
    BOOST_TEST(b.in(R::modem_status) == unsigned{R::msr_cts | R::msr_dsr | R::msr_dcd});
}

BOOST_AUTO_TEST_CASE(an_edge_triggered_driver_gets_all_input_however_little_it_reads_at_a_time) {
    struct Case {
        unsigned fcr;
        unsigned at_a_time;
    };
    for (const auto& [fcr, at_a_time] :
         {Case{0x00, 1}, Case{0x01, 1}, Case{0x01, 16}, Case{0x41, 4}, Case{0x81, 8}, Case{0xc1, 1}, Case{0xc1, 14}}) {
        UartFixture b;
        b.start();
        BOOST_TEST(b.out(R::line_control, 0x03));
        BOOST_TEST(b.out(R::identification, fcr));
        BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
        std::string text;
        for (int i = 0; i < 200; ++i) text += static_cast<char>('a' + i % 26);
        b.chardev->type(text);
        std::string received;
        unsigned served = 0;
        while (received.size() < text.size()) {
            b.turn();
            if (b.rising == served) b.pass(1h);  // the character timeout
            BOOST_TEST_REQUIRE(b.rising > served);
            served = b.rising;
            for (unsigned i = 0; i < at_a_time; ++i) {
                const unsigned status = b.in(R::line_status);
                if ((status & R::lsr_data_ready) == 0) break;
                received += static_cast<char>(b.in(R::data));
            }
        }
        BOOST_TEST(received == text);
        BOOST_TEST(!b.pin.level());
    }
}

BOOST_AUTO_TEST_CASE(input_below_the_trigger_level_interrupts_after_four_character_times) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::line_control, 0x83));
    BOOST_TEST(b.out(R::data, 24));  // 4800 baud: four characters of 10 bits are 8.333 ms
    BOOST_TEST(b.out(R::line_control, 0x03));
    BOOST_TEST(b.out(R::identification, 0xc1));
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
    b.chardev->type("abc");
    b.turn();
    b.pass(8333us);
    BOOST_TEST(!b.pin.level());
    b.pass(1us);
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.in(R::identification) == 0xccu);
    BOOST_TEST(b.in(R::data) == unsigned{'a'});
    BOOST_TEST(!b.pin.level());
    b.turn();
    b.pass(8333us);
    BOOST_TEST(!b.pin.level());
    b.pass(1us);
    BOOST_TEST(b.pin.level());  // for what is left
    BOOST_TEST(b.read_polled() == "bc");
    BOOST_TEST(!b.pin.level());
}

BOOST_AUTO_TEST_CASE(enabling_the_interrupt_later_arms_the_timeout) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::line_control, 0x03));
    BOOST_TEST(b.out(R::identification, 0xc1));
    b.chardev->type("abc");
    BOOST_TEST(b.in(R::line_status) == 0x61u);
    b.turn();
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
    b.turn();
    b.pass(1s);
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.in(R::identification) == 0xccu);
}

BOOST_AUTO_TEST_CASE(a_slow_timeout_that_is_armed_does_not_delay_a_faster_one) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::line_control, 0x83));
    BOOST_TEST(b.out(R::interrupt_enable, 0xff));  // four characters are more than 20 s
    BOOST_TEST(b.out(R::line_control, 0x03));
    BOOST_TEST(b.out(R::identification, 0xc1));
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
    b.chardev->type("ab");
    b.turn();
    BOOST_TEST(b.out(R::line_control, 0x83));
    BOOST_TEST(b.out(R::interrupt_enable, 0x00));
    BOOST_TEST(b.out(R::line_control, 0x03));
    BOOST_TEST(b.in(R::data) == unsigned{'a'});
    b.turn();
    b.pass(1s);
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.in(R::data) == unsigned{'b'});
}

BOOST_AUTO_TEST_CASE(the_timeout_follows_a_divisor_that_is_set_while_characters_wait) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::line_control, 0x83));
    BOOST_TEST(b.out(R::data, 0xff));
    BOOST_TEST(b.out(R::interrupt_enable, 0xff));  // four characters are more than 20 s
    BOOST_TEST(b.out(R::line_control, 0x03));
    BOOST_TEST(b.out(R::identification, 0x81));
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
    b.chardev->type("a");
    b.turn();
    BOOST_TEST(b.out(R::line_control, 0x83));
    BOOST_TEST(b.out(R::data, 0x01));
    BOOST_TEST(b.out(R::interrupt_enable, 0x00));
    BOOST_TEST(b.out(R::line_control, 0x03));
    b.turn();
    b.pass(347us);
    BOOST_TEST(b.in(R::identification) == 0xc1u);
    b.pass(1us);
    BOOST_TEST(b.in(R::identification) == 0xccu);
}

BOOST_AUTO_TEST_CASE(a_paused_machine_gets_its_input_and_interrupts_when_it_goes_on) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data | R::ier_modem_status));
    b.surroundings.gate->close();
    b.chardev->type("x");
    b.chardev->set_connected(false);
    b.turn();
    BOOST_TEST(!b.pin.level());
    BOOST_TEST(b.chardev->unread() == 1u);
    b.surroundings.gate->open();
    b.turn();
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.chardev->unread() == 0u);
}

BOOST_AUTO_TEST_CASE(an_idle_uart_wakes_nobody) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::identification, 0xc1));
    BOOST_TEST(b.out(R::interrupt_enable, 0x0f));
    b.chardev->type("abc");
    BOOST_TEST(b.read_polled() == "abc");
    // What is under way may still come; then nothing.
    b.turn();
    b.pass(1h);
    const auto generation = b.chardev->changed().generation();
    BOOST_TEST(b.clock.listeners() == 0u);
    b.pass(1h);
    BOOST_TEST(b.chardev->changed().generation() == generation);
}

BOOST_AUTO_TEST_CASE(a_busy_guest_on_another_thread_loses_nothing_either_way) {
    constexpr int count = 20'000;
    const auto chardev = std::make_shared<FakeChardev>(64);
    asio::io_context loop(1);
    asio::io_context cpu(1);
    Surroundings surroundings(loop);
    Uart16550 uart(chardev, 3);
    uart.attached(surroundings.context());
    const auto running = std::make_shared<Pending>();
    UartFixture::spawn(loop, uart.run(), running);

    const std::string input(5'000, 'i');
    std::string received;
    const auto guest = std::make_shared<Pending>();
    const auto fifos = std::make_shared<Pending>();
    const auto interrupts = std::make_shared<Pending>();
    // The FIFOs first: switching them clears what the receiver holds.
    UartFixture::spawn(cpu, bench_write(uart, UartFixture::access(R::identification, 0x81)), fifos);
    UartFixture::spawn(cpu, bench_write(uart, UartFixture::access(R::interrupt_enable, 0x0f)), interrupts);
    UartFixture::spawn(cpu, busy_guest(uart, count, input.size(), received), guest);
    std::atomic<bool> finished = false;
    std::thread vcpu([&] {
        cpu.run();
        finished = true;
    });
    std::string output;
    std::size_t typed = 0;
    const auto limit = std::chrono::steady_clock::now() + 60s;
    while (!finished && std::chrono::steady_clock::now() < limit) {
        loop.poll();
        surroundings.clock.advance(100us);
        output += chardev->take(40);
        if (typed < input.size()) {
            const auto some = std::string_view(input).substr(typed, 7);
            chardev->type(some);
            typed += some.size();
        }
    }
    cpu.stop();
    vcpu.join();
    running->cancel.emit(asio::cancellation_type::terminal);
    loop.run();
    output += chardev->take();
    BOOST_TEST_REQUIRE(guest->done);
    BOOST_TEST(!guest->aborted);
    BOOST_TEST(received == input);
    BOOST_TEST(output.size() == static_cast<std::size_t>(count));
    bool in_order = true;
    for (int i = 0; i < count; ++i)
        in_order = in_order && output[static_cast<std::size_t>(i)] == static_cast<char>('a' + i % 26);
    BOOST_TEST(in_order);
    BOOST_TEST(surroundings.pins[3].rising > 0u);
}

BOOST_AUTO_TEST_CASE(a_break_of_the_peer_comes_between_the_characters_that_it_was_sent_between) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data | R::ier_line_status));
    b.chardev->type("a");
    b.chardev->send_break();
    b.chardev->type("b");
    std::string seen;
    for (int i = 0; i < 8; ++i) {
        b.turn();
        const auto status = b.in(R::line_status);
        if ((status & R::lsr_data_ready) == 0) break;
        if ((status & R::lsr_break) != 0) seen += '!';
        seen += static_cast<char>('0' + b.in(R::data) % 16);
    }
    BOOST_TEST(seen == "1!02");
    // Also to a guest that polls.
    BOOST_TEST(b.out(R::interrupt_enable, 0));
    b.chardev->send_break();
    BOOST_TEST((b.in(R::line_status) & (R::lsr_break | R::lsr_data_ready)) == (R::lsr_break | R::lsr_data_ready));
    BOOST_TEST(b.in(R::data) == 0U);
    BOOST_TEST((b.in(R::line_status)&R::lsr_data_ready) == 0U);
}

BOOST_AUTO_TEST_CASE(what_the_guest_has_not_read_is_given_back_at_the_end) {
    const auto chardev = std::make_shared<FakeChardev>();
    {
        UartFixture b(chardev);
        BOOST_TEST(b.out(R::identification, R::fcr_enable | 0xc0U));
        chardev->type("abcdefghijklmnopqrstuvwxyz");
        BOOST_TEST((b.in(R::line_status)&R::lsr_data_ready) != 0U);
        BOOST_TEST(b.in(R::data) == unsigned{'a'});
        BOOST_TEST(b.in(R::data) == unsigned{'b'});
        // Also what it has cleared unread.
        BOOST_TEST(b.out(R::identification, R::fcr_enable | R::fcr_clear_receiver));
        BOOST_TEST(chardev->given_back() == 0U);
    }
    BOOST_TEST(chardev->given_back() + chardev->unread() == 24U);
    BOOST_TEST(chardev->given_back() > 0U);
}
