#define BOOST_TEST_MODULE uart16550_registers
#include "devices/uart16550_registers.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <string>

using namespace asyncvm;
using R = Uart16550Registers;

namespace {

/// A write whose character the world takes at once.
std::optional<std::uint8_t> put(R& uart, unsigned offset, unsigned value) {
    const auto sent = uart.write(offset, static_cast<std::uint8_t>(value));
    uart.set_transmitter_ready(true);
    return sent;
}

unsigned get(R& uart, unsigned offset) { return uart.read(offset); }

void receive(R& uart, std::string_view characters) {
    for (const char c : characters) uart.receive(static_cast<std::uint8_t>(c));
}

std::string read_all(R& uart) {
    std::string all;
    while ((get(uart, R::line_status) & R::lsr_data_ready) != 0) all += static_cast<char>(get(uart, R::data));
    return all;
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_state_after_reset_is_that_of_the_data_sheet) {
    R uart;
    for (int round = 0; round < 2; ++round) {
        BOOST_TEST(get(uart, R::interrupt_enable) == 0x00u);
        BOOST_TEST(get(uart, R::identification) == 0x01u);
        BOOST_TEST(get(uart, R::line_control) == 0x00u);
        BOOST_TEST(get(uart, R::modem_control) == 0x00u);
        BOOST_TEST(get(uart, R::line_status) == 0x60u);
        BOOST_TEST(get(uart, R::modem_status) == 0x00u);
        BOOST_TEST(get(uart, R::scratch) == 0x00u);
        BOOST_TEST(!uart.interrupt_pending());
        for (unsigned offset = 0; offset < 8; ++offset) put(uart, offset, 0x5b);
        receive(uart, "xyz");
        uart.reset();
    }
}

BOOST_AUTO_TEST_CASE(reset_keeps_the_lines_of_the_world_and_shows_no_change_of_them) {
    R uart;
    uart.set_modem_lines({.cts = true, .dsr = true, .ri = false, .dcd = true});
    uart.set_transmitter_ready(false);
    uart.reset();
    BOOST_TEST(get(uart, R::modem_status) == unsigned{R::msr_cts | R::msr_dsr | R::msr_dcd});
    BOOST_TEST(get(uart, R::line_status) == 0u);
    uart.set_transmitter_ready(true);
    BOOST_TEST(get(uart, R::line_status) == 0x60u);
}

BOOST_AUTO_TEST_CASE(offsets_wrap_after_the_eighth_register) {
    R uart;
    put(uart, 8 + R::scratch, 0x42);
    BOOST_TEST(get(uart, R::scratch) == 0x42u);
    BOOST_TEST(get(uart, 8 + R::line_status) == 0x60u);
}

BOOST_AUTO_TEST_CASE(scratch_and_line_control_keep_all_bits) {
    R uart;
    for (unsigned value = 0; value < 256; ++value) {
        put(uart, R::scratch, value);
        put(uart, R::line_control, 255 - value);
        BOOST_TEST(get(uart, R::scratch) == value);
        BOOST_TEST(get(uart, R::line_control) == 255 - value);
    }
}

BOOST_AUTO_TEST_CASE(reserved_bits_of_ier_and_mcr_read_as_zero) {
    R uart;
    put(uart, R::interrupt_enable, 0xff);
    BOOST_TEST(get(uart, R::interrupt_enable) == 0x0fu);
    put(uart, R::modem_control, 0xff);
    BOOST_TEST(get(uart, R::modem_control) == 0x1fu);
}

BOOST_AUTO_TEST_CASE(the_status_registers_ignore_writes) {
    R uart;
    put(uart, R::line_status, 0xff);
    put(uart, R::modem_status, 0xff);
    BOOST_TEST(get(uart, R::line_status) == 0x60u);
    BOOST_TEST(get(uart, R::modem_status) == 0x00u);
}

BOOST_AUTO_TEST_CASE(the_divisor_latch_hides_behind_dlab) {
    R uart;
    BOOST_TEST(uart.sends());
    put(uart, R::interrupt_enable, 0x05);
    put(uart, R::line_control, 0x83);
    BOOST_TEST(!uart.sends());
    BOOST_TEST(!put(uart, R::data, 0x34).has_value());
    put(uart, R::interrupt_enable, 0x12);
    BOOST_TEST(get(uart, R::data) == 0x34u);
    BOOST_TEST(get(uart, R::interrupt_enable) == 0x12u);
    BOOST_TEST(!uart.shows_input(R::data));
    BOOST_TEST(uart.shows_input(R::line_status));
    put(uart, R::line_control, 0x03);
    BOOST_TEST(get(uart, R::interrupt_enable) == 0x05u);
    BOOST_TEST(uart.shows_input(R::data));
    BOOST_TEST(!uart.shows_input(R::identification));
    BOOST_TEST((put(uart, R::data, 'A') == std::uint8_t{'A'}));
}

BOOST_AUTO_TEST_CASE(a_character_leaves_at_once_and_whole_whatever_the_format) {
    R uart;  // after reset the format is five bits
    for (unsigned value = 0; value < 256; ++value)
        BOOST_TEST((put(uart, R::data, value) == static_cast<std::uint8_t>(value)));
}

BOOST_AUTO_TEST_CASE(the_transmitter_is_not_empty_until_the_world_has_the_character) {
    R uart;
    BOOST_TEST(uart.write(R::data, 'A').has_value());
    BOOST_TEST(get(uart, R::line_status) == 0u);
    uart.set_transmitter_ready(false);
    BOOST_TEST(get(uart, R::line_status) == 0u);
    BOOST_TEST(!uart.transmitter_empty());
    uart.set_transmitter_ready(true);
    BOOST_TEST(get(uart, R::line_status) == 0x60u);
    BOOST_TEST(uart.transmitter_empty());
}

BOOST_AUTO_TEST_CASE(without_fifos_the_receiver_holds_one_character_and_the_newest_wins) {
    R uart;
    BOOST_TEST(uart.wanted() == 1u);
    receive(uart, "a");
    BOOST_TEST(uart.wanted() == 0u);
    BOOST_TEST(get(uart, R::line_status) == 0x61u);
    receive(uart, "b");
    BOOST_TEST(get(uart, R::line_status) == 0x63u);
    BOOST_TEST(get(uart, R::line_status) == 0x61u);  // reading it has cleared the overrun
    BOOST_TEST(get(uart, R::data) == unsigned{'b'});
    BOOST_TEST(get(uart, R::line_status) == 0x60u);
    BOOST_TEST(get(uart, R::data) == unsigned{'b'});  // the buffer register still holds it
    BOOST_TEST(uart.wanted() == 1u);
}

BOOST_AUTO_TEST_CASE(with_fifos_the_receiver_holds_sixteen_characters_and_the_newest_is_lost) {
    R uart;
    put(uart, R::identification, 0x01);
    receive(uart, "0123456789abcdef");
    BOOST_TEST(get(uart, R::line_status) == 0x61u);
    receive(uart, "X");
    BOOST_TEST(get(uart, R::line_status) == 0x63u);
    BOOST_TEST(read_all(uart) == "0123456789abcdef");
    receive(uart, "again");
    BOOST_TEST(read_all(uart) == "again");
}

BOOST_AUTO_TEST_CASE(input_is_wanted_up_to_the_trigger_level) {
    struct Case {
        unsigned fcr;
        std::size_t level;
    };
    for (const auto& [fcr, level] : {Case{0x01, 1}, Case{0x41, 4}, Case{0x81, 8}, Case{0xc1, 14}}) {
        R uart;
        put(uart, R::identification, fcr);
        for (std::size_t held = 0; held < level; ++held) {
            BOOST_TEST(uart.wanted() == level - held);
            receive(uart, "x");
        }
        BOOST_TEST(uart.wanted() == 0u);
        static_cast<void>(get(uart, R::data));
        BOOST_TEST(uart.wanted() == 1u);
    }
}

BOOST_AUTO_TEST_CASE(the_fifos_are_cleared_on_request_and_when_they_are_switched) {
    R uart;
    receive(uart, "a");
    put(uart, R::identification, 0x01);
    BOOST_TEST(read_all(uart).empty());
    receive(uart, "bcd");
    put(uart, R::identification, 0x01);
    BOOST_TEST(uart.data_ready());  // enabled already: nothing is cleared
    put(uart, R::identification, 0x05);
    BOOST_TEST(uart.data_ready());  // the transmitter's clear
    put(uart, R::identification, 0x02);
    BOOST_TEST(!uart.data_ready());
    BOOST_TEST((get(uart, R::identification) & R::iir_fifos_enabled) == 0u);
    put(uart, R::identification, 0x01);
    receive(uart, "bcd");
    put(uart, R::identification, 0x03);
    BOOST_TEST(!uart.data_ready());
    BOOST_TEST((get(uart, R::identification) & R::iir_fifos_enabled) == 0xc0u);
}

BOOST_AUTO_TEST_CASE(without_the_enable_bit_fifo_control_programs_nothing) {
    R uart;
    receive(uart, "a");
    put(uart, R::identification, 0xc2);
    BOOST_TEST(uart.data_ready());
    put(uart, R::interrupt_enable, 0x01);
    BOOST_TEST(uart.interrupt_pending());  // the trigger level is still 1
}

BOOST_AUTO_TEST_CASE(loopback_routes_characters_to_the_receiver_and_keeps_the_world_out) {
    R uart;
    put(uart, R::identification, 0x01);
    put(uart, R::modem_control, R::mcr_loopback);
    BOOST_TEST(!uart.sends());
    BOOST_TEST(uart.wanted() == 0u);
    receive(uart, "world");
    BOOST_TEST(!uart.data_ready());
    BOOST_TEST(!put(uart, R::data, 'L').has_value());
    BOOST_TEST(!put(uart, R::data, 'B').has_value());
    BOOST_TEST(read_all(uart) == "LB");
    for (int i = 0; i < 17; ++i) put(uart, R::data, static_cast<unsigned>('a' + i));
    BOOST_TEST(get(uart, R::line_status) == 0x63u);
    BOOST_TEST(read_all(uart) == "abcdefghijklmnop");
    put(uart, R::modem_control, 0);
    BOOST_TEST(put(uart, R::data, 'W').has_value());
    BOOST_TEST(!uart.data_ready());
}

BOOST_AUTO_TEST_CASE(in_loopback_the_transmitter_does_not_depend_on_the_world) {
    R uart;
    uart.set_transmitter_ready(false);
    put(uart, R::line_control, 0x03);
    uart.set_transmitter_ready(false);
    BOOST_TEST(get(uart, R::line_status) == 0u);
    BOOST_TEST(!uart.write(R::modem_control, R::mcr_loopback).has_value());
    BOOST_TEST(get(uart, R::line_status) == 0x60u);
    BOOST_TEST(!uart.write(R::data, 'x').has_value());
    uart.set_transmitter_ready(false);
    BOOST_TEST(get(uart, R::line_status) == 0x61u);
    BOOST_TEST(!uart.write(R::modem_control, 0).has_value());
    BOOST_TEST((get(uart, R::line_status) & R::lsr_holding_empty) == 0u);
}

BOOST_AUTO_TEST_CASE(loopback_routes_the_modem_outputs_to_the_inputs) {
    struct Case {
        unsigned output;
        unsigned input;
    };
    R uart;
    uart.set_modem_lines({.cts = true, .dsr = true, .ri = true, .dcd = true});
    for (const auto& [output, input] : {Case{R::mcr_rts, R::msr_cts}, Case{R::mcr_dtr, R::msr_dsr},
                                        Case{R::mcr_out1, R::msr_ri}, Case{R::mcr_out2, R::msr_dcd}}) {
        put(uart, R::modem_control, R::mcr_loopback | output);
        BOOST_TEST((get(uart, R::modem_status) & 0xf0u) == input);
    }
    put(uart, R::modem_control, 0);
    BOOST_TEST((get(uart, R::modem_status) & 0xf0u) == 0xf0u);
}

BOOST_AUTO_TEST_CASE(modem_status_shows_levels_and_what_has_changed_since_it_was_read) {
    R uart;
    uart.set_modem_lines({.cts = true, .dsr = false, .ri = true, .dcd = false});
    BOOST_TEST(get(uart, R::modem_status) == unsigned{R::msr_cts | R::msr_ri | R::msr_delta_cts});
    BOOST_TEST(get(uart, R::modem_status) == unsigned{R::msr_cts | R::msr_ri});
    uart.set_modem_lines({.cts = true, .dsr = true, .ri = false, .dcd = true});
    BOOST_TEST(get(uart, R::modem_status) ==
               unsigned{R::msr_cts | R::msr_dsr | R::msr_dcd | R::msr_delta_dsr | R::msr_delta_dcd | R::msr_trailing_ri});
    BOOST_TEST(get(uart, R::modem_status) == unsigned{R::msr_cts | R::msr_dsr | R::msr_dcd});
    uart.set_modem_lines({});
    uart.set_modem_lines({.cts = true, .dsr = true, .ri = false, .dcd = true});
    // Back to where it was: the change remains visible.
    BOOST_TEST((get(uart, R::modem_status) & R::msr_deltas) ==
               unsigned{R::msr_delta_cts | R::msr_delta_dsr | R::msr_delta_dcd});
}

BOOST_AUTO_TEST_CASE(the_time_of_a_character_follows_divisor_and_format) {
    struct Case {
        unsigned divisor;
        unsigned lcr;
        std::int64_t nanoseconds;
    };
    const std::array cases{
        Case{1, 0x03, 86'805},        // 115200 8N1: 10 bits
        Case{0, 0x03, 86'805},        // undefined by the data sheet
        Case{12, 0x03, 1'041'666},    // 9600 8N1
        Case{1, 0x00, 60'763},        // 5N1: 7 bits
        Case{1, 0x04, 65'104},        // 5N1.5
        Case{384, 0x0f, 40'000'000},  // 300 8O2: 12 bits; the data sheet's 160 ms for four of them
        Case{65'535, 0x0f, 6'826'562'500},
    };
    for (const auto& [divisor, lcr, nanoseconds] : cases) {
        R uart;
        put(uart, R::line_control, R::lcr_divisor_latch);
        put(uart, R::data, divisor & 0xffU);
        put(uart, R::interrupt_enable, divisor >> 8U);
        put(uart, R::line_control, lcr);
        BOOST_TEST(uart.character_time().count() == nanoseconds);
    }
}

BOOST_AUTO_TEST_CASE(a_break_is_a_character_0_that_the_line_status_marks_while_it_is_next) {
    R uart;
    put(uart, R::identification, R::fcr_enable | 0xc0U);
    put(uart, R::interrupt_enable, R::ier_line_status);
    uart.receive('a');
    uart.receive_break();
    uart.receive('b');
    BOOST_TEST(get(uart, R::line_status) == (0x60U | R::lsr_data_ready | R::lsr_fifo_error));
    BOOST_TEST(!uart.interrupt_pending());
    BOOST_TEST(get(uart, R::data) == unsigned{'a'});
    BOOST_TEST(get(uart, R::identification) == (R::iir_line_status | R::iir_fifos_enabled));
    BOOST_TEST(get(uart, R::line_status) == (0x60U | R::lsr_data_ready | R::lsr_break | R::lsr_fifo_error));
    // Reported once.
    BOOST_TEST(!uart.interrupt_pending());
    BOOST_TEST(get(uart, R::line_status) == (0x60U | R::lsr_data_ready));
    BOOST_TEST(get(uart, R::data) == 0U);
    BOOST_TEST(get(uart, R::data) == unsigned{'b'});
    BOOST_TEST(get(uart, R::line_status) == 0x60U);
}

BOOST_AUTO_TEST_CASE(a_break_in_16450_mode_leaves_bit_7_alone_and_ends_with_its_character) {
    R uart;
    uart.receive_break();
    BOOST_TEST(get(uart, R::line_status) == (0x60U | R::lsr_data_ready | R::lsr_break));
    uart.reset();
    uart.receive_break();
    BOOST_TEST(get(uart, R::data) == 0U);
    BOOST_TEST(get(uart, R::line_status) == 0x60U);
    // A character that replaces it is none.
    uart.receive_break();
    uart.receive('x');
    BOOST_TEST(get(uart, R::line_status) == (0x60U | R::lsr_data_ready | R::lsr_overrun));
    // In loopback nothing arrives.
    put(uart, R::modem_control, R::mcr_loopback);
    BOOST_TEST(get(uart, R::data) == unsigned{'x'});
    uart.receive_break();
    BOOST_TEST(get(uart, R::line_status) == 0x60U);
}

BOOST_AUTO_TEST_CASE(a_clear_of_the_fifo_takes_a_break_along) {
    R uart;
    put(uart, R::identification, R::fcr_enable);
    uart.receive('a');
    uart.receive_break();
    std::array<std::uint8_t, R::fifo_size> unread{};
    BOOST_TEST(uart.copy_unread(unread) == 1U);
    put(uart, R::identification, R::fcr_enable | R::fcr_clear_receiver);
    uart.receive('b');
    BOOST_TEST(get(uart, R::line_status) == (0x60U | R::lsr_data_ready));
}
