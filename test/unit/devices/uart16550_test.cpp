#define BOOST_TEST_MODULE uart16550
#include "uart16550_fixture.hpp"

#include <asyncvm/error.hpp>

#include "devices/device_kind.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using namespace std::chrono_literals;
using R = Uart16550Registers;

BOOST_AUTO_TEST_CASE(what_the_guest_writes_reaches_the_chardev) {
    UartFixture b;
    for (const char c : std::string_view("Hello")) BOOST_TEST(b.out(R::data, static_cast<unsigned char>(c)));
    BOOST_TEST(b.chardev->take() == "Hello");
    BOOST_TEST(b.in(R::line_status) == 0x60u);
}

BOOST_AUTO_TEST_CASE(the_device_tells_the_bus_what_it_is) {
    UartFixture b;
    BOOST_TEST(b.uart.name() == "uart16550");
    BOOST_TEST(b.uart.max_access_size() == 1u);
    BOOST_TEST((b.uart.affinity() == Affinity::in_place));
}

BOOST_AUTO_TEST_CASE(a_write_into_a_full_queue_waits_and_loses_nothing) {
    UartFixture b(4);
    for (const char c : std::string_view("abcd")) BOOST_TEST(b.out(R::data, static_cast<unsigned char>(c)));
    const auto fifth = b.begin_out(R::data, 'e');
    b.turn();
    BOOST_TEST(!fifth->done);
    BOOST_TEST(b.chardev->take(1) == "a");
    b.turn();
    BOOST_TEST(!fifth->done);  // the queue says that it has room only when half of it is free
    BOOST_TEST(b.chardev->take(1) == "b");
    b.turn();
    BOOST_TEST(fifth->done);
    BOOST_TEST(!fifth->aborted);
    BOOST_TEST(b.chardev->take() == "cde");
}

BOOST_AUTO_TEST_CASE(a_write_that_waits_can_be_cancelled) {
    UartFixture b(2);
    b.start();
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_transmitter_empty));
    BOOST_TEST(b.out(R::data, 'a'));
    BOOST_TEST(b.out(R::data, 'b'));
    const auto third = b.begin_out(R::data, 'c');
    third->cancel.emit(asio::cancellation_type::terminal);
    b.turn();
    BOOST_TEST(third->done);
    BOOST_TEST(third->aborted);
    BOOST_TEST(!b.pin.level());
    BOOST_TEST(b.chardev->take() == "ab");
    b.turn();
    BOOST_TEST(b.pin.level());
    BOOST_TEST(b.out(R::data, 'd'));
    BOOST_TEST(b.chardev->take() == "d");
}

BOOST_AUTO_TEST_CASE(a_vcpu_whose_loop_goes_away_while_it_waits_leaves_a_sound_device) {
    auto chardev = std::make_shared<FakeChardev>(1);
    Uart16550 uart(chardev);
    {
        const auto first = std::make_shared<Pending>();
        const auto second = std::make_shared<Pending>();
        asio::io_context cpu(1);
        UartFixture::spawn(cpu, bench_write(uart, UartFixture::access(R::data, 'a')), first);
        UartFixture::spawn(cpu, bench_write(uart, UartFixture::access(R::data, 'b')), second);
        cpu.poll();
        BOOST_TEST(first->done);
        BOOST_TEST(!second->done);
    }
    BOOST_TEST(chardev->take() == "a");
    chardev->set_connected(false);
}

BOOST_AUTO_TEST_CASE(a_string_goes_to_the_chardev_in_one_piece) {
    UartFixture b;
    BOOST_TEST(b.begin_outs(R::data, "a whole line\n")->done);
    BOOST_TEST(b.chardev->write_calls() == 1u);
    BOOST_TEST(b.chardev->take() == "a whole line\n");
    BOOST_TEST(b.begin_outs(R::data, "")->done);
    BOOST_TEST(b.chardev->take().empty());
}

BOOST_AUTO_TEST_CASE(a_string_longer_than_the_queue_waits_for_its_room) {
    UartFixture b(8);
    std::string text;
    for (int i = 0; i < 100; ++i) text += static_cast<char>('0' + i % 10);
    const auto pending = b.begin_outs(R::data, text);
    std::string taken;
    for (int i = 0; i < 100 && !pending->done; ++i) {
        taken += b.chardev->take();
        b.turn();
    }
    BOOST_TEST(pending->done);
    taken += b.chardev->take();
    BOOST_TEST(taken == text);
}

BOOST_AUTO_TEST_CASE(a_string_respects_loopback_and_the_divisor_latch) {
    UartFixture b;
    BOOST_TEST(b.out(R::identification, 0x01));
    BOOST_TEST(b.out(R::modem_control, R::mcr_loopback));
    BOOST_TEST(b.begin_outs(R::data, "back")->done);
    BOOST_TEST(b.read_polled() == "back");
    BOOST_TEST(b.out(R::modem_control, 0));
    BOOST_TEST(b.out(R::line_control, R::lcr_divisor_latch));
    BOOST_TEST(b.begin_outs(R::data, "\x01\x02")->done);
    BOOST_TEST(b.in(R::data) == 2u);
    BOOST_TEST(b.out(R::line_control, 0x03));
    BOOST_TEST(b.begin_outs(R::scratch, "xy")->done);
    BOOST_TEST(b.in(R::scratch) == unsigned{'y'});
    BOOST_TEST(b.chardev->take().empty());
}

BOOST_AUTO_TEST_CASE(loopback_keeps_the_chardev_out_of_it) {
    UartFixture b(1);
    b.chardev->type("input");
    BOOST_TEST(b.out(R::data, 'x'));  // the queue is full now
    BOOST_TEST(b.out(R::modem_control, R::mcr_loopback));
    BOOST_TEST(b.out(R::data, 'l'));
    BOOST_TEST(b.in(R::line_status) == 0x61u);
    BOOST_TEST(b.in(R::data) == unsigned{'l'});
    BOOST_TEST(b.in(R::line_status) == 0x60u);
    BOOST_TEST(b.out(R::modem_control, 0));
    BOOST_TEST(b.read_polled().substr(0, 1) == "i");
    BOOST_TEST(b.chardev->take() == "x");
}

BOOST_AUTO_TEST_CASE(input_reaches_a_guest_that_polls_before_run_has_run) {
    UartFixture b;
    b.chardev->type("typed");
    BOOST_TEST(b.in(R::line_status) == 0x61u);
    BOOST_TEST(b.read_polled() == "typed");
    b.chardev->type("again");
    BOOST_TEST(b.in(R::data) == unsigned{'a'});  // also without a look at the line status
}

BOOST_AUTO_TEST_CASE(input_that_came_before_the_guest_was_set_up_is_not_cleared_with_the_fifos) {
    UartFixture b;
    b.start();
    b.chardev->type("early bird");
    b.turn();
    BOOST_TEST(b.out(R::interrupt_enable, 0x00));
    BOOST_TEST(b.out(R::line_control, 0x80));
    BOOST_TEST(b.out(R::data, 0x01));
    BOOST_TEST(b.in(R::data) == 0x01u);
    BOOST_TEST(b.out(R::line_control, 0x03));
    BOOST_TEST(b.out(R::identification, 0xc7));
    BOOST_TEST(b.out(R::modem_control, 0x0b));
    BOOST_TEST(b.read_polled() == "early bird");
}

BOOST_AUTO_TEST_CASE(input_that_a_guest_clears_unread_comes_again) {
    UartFixture b;
    b.start();
    b.chardev->type("early bird");
    BOOST_TEST(b.in(R::line_status) == 0x61u);
    BOOST_TEST(b.out(R::identification, 0x07));
    BOOST_TEST(b.in(R::line_status) == 0x61u);
    BOOST_TEST(b.out(R::identification, 0x00));  // off: the receiver is emptied as well
    BOOST_TEST(b.read_polled() == "early bird");
    b.chardev->type("0123456789abcdefghij");
    BOOST_TEST(b.out(R::identification, 0xc7));
    for (int round = 0; round < 3; ++round) {
        BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
        b.turn();
        BOOST_TEST(b.in(R::data) == static_cast<unsigned>('0' + round));
        BOOST_TEST(b.out(R::interrupt_enable, 0));
        BOOST_TEST(b.out(R::identification, 0xc7));
    }
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
    BOOST_TEST(b.read_polled() == "3456789abcdefghij");
}

BOOST_AUTO_TEST_CASE(what_the_guest_has_sent_to_itself_is_cleared_for_good) {
    UartFixture b;
    b.chardev->type("o");
    BOOST_TEST(b.out(R::identification, 0xc1));
    BOOST_TEST(b.in(R::line_status) == 0x61u);
    BOOST_TEST(b.out(R::modem_control, R::mcr_loopback));
    for (const char c : std::string_view("loop")) BOOST_TEST(b.out(R::data, static_cast<unsigned char>(c)));
    BOOST_TEST(b.out(R::identification, 0xc3));
    BOOST_TEST(b.in(R::line_status) == 0x60u);
    BOOST_TEST(b.out(R::modem_control, 0));
    BOOST_TEST(b.read_polled() == "o");
}

BOOST_AUTO_TEST_CASE(a_read_of_the_data_register_right_after_a_clear_takes_nothing) {
    UartFixture b;
    b.chardev->type("xyz");
    BOOST_TEST(b.in(R::data) == unsigned{'x'});
    BOOST_TEST(b.out(R::identification, 0x01));
    BOOST_TEST(b.in(R::data) == unsigned{'x'});  // the last one again, as from an empty receiver
    BOOST_TEST(b.in(R::data) == unsigned{'y'});  // a guest that never looks at the line status
    BOOST_TEST(b.in(R::data) == unsigned{'z'});
}

BOOST_AUTO_TEST_CASE(a_drain_loop_ends_after_sixteen_characters) {
    UartFixture b;
    std::string text;
    for (int i = 0; i < 40; ++i) text += static_cast<char>('A' + i);
    b.chardev->type(text);
    BOOST_TEST(b.read_polled() == text.substr(0, 16));
    BOOST_TEST(b.read_polled() == text.substr(16, 16));
    BOOST_TEST(b.read_polled() == text.substr(32));
    BOOST_TEST(b.read_polled().empty());
    b.chardev->type("next");
    BOOST_TEST(b.read_polled() == "next");
}

BOOST_AUTO_TEST_CASE(a_drain_loop_beside_a_full_queue_does_not_pause) {
    UartFixture b(2);
    BOOST_TEST(b.begin_outs(R::data, "ab")->done);
    b.chardev->type(std::string(40, 'i'));
    for (int i = 0; i < 16; ++i) {
        BOOST_TEST(b.in(R::line_status) == 0x01u);
        BOOST_TEST(b.in(R::data) == unsigned{'i'});
    }
    BOOST_TEST(b.in(R::line_status) == 0x00u);  // at once
    BOOST_TEST(b.in(R::line_status) == 0x01u);
}

BOOST_AUTO_TEST_CASE(reset_gives_unread_input_back) {
    UartFixture b;
    b.chardev->type("kept");
    BOOST_TEST(b.in(R::line_status) == 0x61u);
    b.uart.reset();
    BOOST_TEST(b.read_polled() == "kept");
}

BOOST_AUTO_TEST_CASE(registers_can_be_spaced_and_take_wide_accesses) {
    for (const unsigned stride : {1u, 2u, 4u, 8u}) {
        UartFixture b;
        Uart16550 uart(b.chardev, {}, stride);
        uart.attached(b.surroundings.context());
        BOOST_TEST(uart.max_access_size() == stride);
        const auto wide = [&](unsigned offset, std::uint64_t value = 0) {
            auto access = UartFixture::access(offset);
            access.size = static_cast<std::uint8_t>(stride);
            access.data = value;
            return access;
        };
        const auto out = [&](const Access& access) {
            const auto pending = std::make_shared<Pending>();
            UartFixture::spawn(b.cpu, bench_write(uart, access), pending);
            b.cpu.poll();
            return pending->done;
        };
        const auto in = [&](const Access& access) {
            const auto pending = std::make_shared<Pending>();
            UartFixture::spawn(b.cpu, bench_read(uart, access, pending), pending);
            b.cpu.poll();
            return pending->value;
        };
        BOOST_TEST(out(wide(0, 'o')));
        BOOST_TEST(b.chardev->take() == "o");
        BOOST_TEST(out(wide(R::scratch * stride, 0x5a)));
        BOOST_TEST(in(wide(R::scratch * stride)) == 0x5au);
        BOOST_TEST(in(UartFixture::access(R::line_status * stride)) == 0x60u);
        BOOST_TEST(uart.posts(0) == room_to_post(*b.chardev));
        if (stride == 1) continue;
        BOOST_TEST(out(UartFixture::access(1, 'x')));  // between two registers
        BOOST_TEST(b.chardev->take().empty());
        BOOST_TEST(in(UartFixture::access(R::line_status * stride + 1)) == 0u);
        auto across = wide(R::scratch * stride - 1);
        across.size = 2;
        BOOST_TEST(in(across) == 0x5a00u);
    }
    BOOST_CHECK_THROW(Uart16550(std::make_shared<FakeChardev>(), {}, 3), Error);
    BOOST_CHECK_THROW(Uart16550(std::make_shared<FakeChardev>(), {}, 0), Error);
    BOOST_CHECK_THROW(Uart16550(std::make_shared<FakeChardev>(), {}, 16), Error);
}

BOOST_AUTO_TEST_CASE(input_that_the_guest_does_not_read_stays_in_the_chardev) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::identification, 0xc1));
    BOOST_TEST(b.out(R::interrupt_enable, R::ier_received_data));
    b.chardev->type(std::string(1000, 'x'));
    b.turn();
    BOOST_TEST(b.chardev->unread() == 1000u - 14u);
    BOOST_TEST(b.read_polled().size() == 1000u);
}

BOOST_AUTO_TEST_CASE(a_poll_of_a_full_queue_pauses_and_ends_when_there_is_room) {
    UartFixture b(2);
    BOOST_TEST(b.begin_outs(R::data, "ab")->done);
    const auto poll = b.begin_in(R::line_status);
    BOOST_TEST(!poll->done);
    BOOST_TEST(b.chardev->take() == "ab");
    b.turn();
    BOOST_TEST(poll->done);
    BOOST_TEST(poll->value == 0x60u);
}

BOOST_AUTO_TEST_CASE(a_poll_of_a_full_queue_is_answered_after_its_pause) {
    UartFixture b(2);
    BOOST_TEST(b.begin_outs(R::data, "ab")->done);
    const auto poll = b.begin_in(R::line_status);
    b.pass(Uart16550::full_queue_pause - 1ns);
    BOOST_TEST(!poll->done);
    b.pass(1ns);
    BOOST_TEST(poll->done);
    BOOST_TEST(poll->value == 0u);
}

BOOST_AUTO_TEST_CASE(a_poll_of_a_full_queue_ends_when_there_is_input) {
    UartFixture b(2);
    BOOST_TEST(b.begin_outs(R::data, "ab")->done);
    b.chardev->type("x");
    BOOST_TEST(b.in(R::line_status) == 0x01u);  // at once
    BOOST_TEST(b.in(R::data) == unsigned{'x'});
    const auto next = b.begin_in(R::line_status);
    BOOST_TEST(!next->done);
    b.chardev->type("y");
    b.turn();
    BOOST_TEST(next->done);
    BOOST_TEST(next->value == 0x01u);
}

BOOST_AUTO_TEST_CASE(a_poll_of_a_full_queue_can_be_cancelled) {
    UartFixture b(1);
    BOOST_TEST(b.out(R::data, 'a'));
    const auto poll = b.begin_in(R::line_status);
    poll->cancel.emit(asio::cancellation_type::terminal);
    b.turn();
    BOOST_TEST(poll->aborted);
}

BOOST_AUTO_TEST_CASE(polls_with_room_in_the_queue_never_pause) {
    UartFixture b(2);
    for (int i = 0; i < 10'000; ++i) BOOST_REQUIRE(b.in(R::line_status) == 0x60u);
}

BOOST_AUTO_TEST_CASE(reset_brings_back_the_state_after_power_on) {
    UartFixture b;
    b.start();
    BOOST_TEST(b.out(R::interrupt_enable, 0x0f));
    BOOST_TEST(b.out(R::line_control, 0x1b));
    BOOST_TEST(b.out(R::modem_control, 0x1f));
    BOOST_TEST(b.out(R::data, 'l'));
    BOOST_TEST(b.pin.level());
    b.uart.reset();
    BOOST_TEST(!b.pin.level());
    BOOST_TEST(b.in(R::interrupt_enable) == 0u);
    BOOST_TEST(b.in(R::line_control) == 0u);
    BOOST_TEST(b.in(R::modem_control) == 0u);
    BOOST_TEST(b.in(R::line_status) == 0x60u);
    BOOST_TEST(b.in(R::modem_status) == unsigned{R::msr_cts | R::msr_dsr | R::msr_dcd});
    b.chardev->type("still alive");
    BOOST_TEST(b.read_polled() == "still alive");
}

BOOST_AUTO_TEST_CASE(the_background_work_ends_when_it_is_cancelled) {
    UartFixture b;
    b.start();
    BOOST_TEST(!b.running->done);
    b.running->cancel.emit(asio::cancellation_type::terminal);
    b.turn();
    BOOST_TEST(b.running->done);
    BOOST_TEST(b.running->aborted);
}
