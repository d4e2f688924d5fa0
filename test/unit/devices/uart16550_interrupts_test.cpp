#include "devices/uart16550_registers.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>

using namespace asyncvm;
using R = Uart16550Registers;

namespace {

void put(R& uart, unsigned offset, unsigned value, bool ready = true) {
    static_cast<void>(uart.write(offset, static_cast<std::uint8_t>(value)));
    uart.set_transmitter_ready(ready);
}

unsigned get(R& uart, unsigned offset) { return uart.read(offset); }

unsigned source(R& uart) { return get(uart, R::identification) & 0x0fU; }

void receive(R& uart, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) uart.receive('r');
}

/// A driver as in the data sheet: it serves until the identification says that nothing is left.
struct Driver {
    R& uart;
    std::string to_send;
    std::size_t burst = 1;  // characters for each transmitter interrupt
    std::size_t sent = 0;
    std::string received{};

    void serve(std::string& wire, bool ready) {
        for (;;) {
            switch (source(uart)) {
                case R::iir_none:
                    return;
                case R::iir_line_status:
                    static_cast<void>(get(uart, R::line_status));
                    break;
                case R::iir_timeout:
                case R::iir_received_data:
                    received += static_cast<char>(get(uart, R::data));
                    break;
                case R::iir_transmitter_empty:
                    transmit(wire, ready);
                    break;
                default:
                    static_cast<void>(get(uart, R::modem_status));
                    break;
            }
        }
    }

    void transmit(std::string& wire, bool ready) {
        for (std::size_t i = 0; i < burst && sent < to_send.size(); ++i) {
            const auto byte = uart.write(R::data, static_cast<std::uint8_t>(to_send[sent++]));
            if (byte) wire += static_cast<char>(*byte);
            uart.set_transmitter_ready(ready);
        }
        if (sent == to_send.size()) put(uart, R::interrupt_enable, 0, ready);
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(nothing_interrupts_that_is_not_enabled) {
    R uart;
    put(uart, R::data, 'x');
    receive(uart, 3);
    uart.set_modem_lines({.cts = true, .dsr = true, .ri = true, .dcd = true});
    BOOST_TEST(!uart.interrupt_pending());
    BOOST_TEST(source(uart) == R::iir_none);
}

BOOST_AUTO_TEST_CASE(interrupts_are_served_by_priority) {
    R uart;
    receive(uart, 2);  // and an overrun
    uart.set_modem_lines({.cts = true});
    put(uart, R::interrupt_enable, 0x0f);
    BOOST_TEST(source(uart) == R::iir_line_status);
    BOOST_TEST(source(uart) == R::iir_line_status);
    BOOST_TEST(get(uart, R::line_status) == 0x63u);
    BOOST_TEST(source(uart) == R::iir_received_data);
    static_cast<void>(get(uart, R::data));
    BOOST_TEST(uart.interrupt_pending());
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
    BOOST_TEST(source(uart) == R::iir_modem_status);
    static_cast<void>(get(uart, R::modem_status));
    BOOST_TEST(source(uart) == R::iir_none);
    BOOST_TEST(!uart.interrupt_pending());
}

BOOST_AUTO_TEST_CASE(reading_the_identification_clears_the_transmitter_only_as_the_source) {
    R uart;
    receive(uart, 1);
    put(uart, R::interrupt_enable, 0x03);
    BOOST_TEST(source(uart) == R::iir_received_data);
    static_cast<void>(get(uart, R::data));
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
    BOOST_TEST(!uart.interrupt_pending());
    BOOST_TEST(uart.transmitter_empty());
}

BOOST_AUTO_TEST_CASE(each_disabled_interrupt_disappears_and_comes_back) {
    R uart;
    receive(uart, 2);
    uart.set_modem_lines({.dcd = true});
    for (const unsigned enable : {0x04u, 0x01u, 0x08u}) {
        put(uart, R::interrupt_enable, enable);
        BOOST_TEST(uart.interrupt_pending());
        put(uart, R::interrupt_enable, 0);
        BOOST_TEST(!uart.interrupt_pending());
    }
}

BOOST_AUTO_TEST_CASE(enabling_the_transmitter_interrupt_raises_it_when_the_transmitter_is_empty) {
    R uart;
    put(uart, R::interrupt_enable, 0x02);
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
    BOOST_TEST(!uart.interrupt_pending());
    put(uart, R::interrupt_enable, 0x02);  // it was enabled already
    BOOST_TEST(!uart.interrupt_pending());
    put(uart, R::interrupt_enable, 0x00);
    put(uart, R::interrupt_enable, 0x02);
    BOOST_TEST(uart.interrupt_pending());
    put(uart, R::interrupt_enable, 0x00, false);
    static_cast<void>(uart.write(R::interrupt_enable, 0x02));
    BOOST_TEST(!uart.interrupt_pending());
}

BOOST_AUTO_TEST_CASE(writing_a_character_clears_the_transmitter_interrupt_until_it_has_left) {
    R uart;
    put(uart, R::interrupt_enable, 0x02);
    BOOST_TEST(uart.interrupt_pending());
    BOOST_TEST(uart.write(R::data, 'x').has_value());
    BOOST_TEST(!uart.interrupt_pending());
    uart.set_transmitter_ready(true);
    BOOST_TEST(uart.interrupt_pending());
}

BOOST_AUTO_TEST_CASE(a_world_that_takes_nothing_gives_no_transmitter_interrupt_and_one_when_it_does) {
    R uart;
    put(uart, R::interrupt_enable, 0x02);
    put(uart, R::data, 'x', false);
    BOOST_TEST(!uart.interrupt_pending());
    BOOST_TEST(source(uart) == R::iir_none);
    uart.set_transmitter_ready(true);
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
    uart.set_transmitter_ready(true);
    BOOST_TEST(source(uart) == R::iir_none);
    uart.set_transmitter_ready(false);  // somebody else has filled the queue
    uart.set_transmitter_ready(true);
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
}

BOOST_AUTO_TEST_CASE(switching_the_fifos_raises_the_transmitter_interrupt) {
    R uart;
    put(uart, R::interrupt_enable, 0x02);
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
    put(uart, R::identification, 0x01);
    BOOST_TEST(get(uart, R::identification) == 0xc2u);
    BOOST_TEST(get(uart, R::identification) == 0xc1u);
}

BOOST_AUTO_TEST_CASE(a_thousand_characters_by_interrupt_never_stick) {
    for (const std::size_t burst : {1u, 16u}) {
        for (const bool fifos : {false, true}) {
            R uart;
            put(uart, R::identification, fifos ? 0x07 : 0x00);
            Driver driver{uart, std::string(1000, '.'), burst};
            for (std::size_t i = 0; i < driver.to_send.size(); ++i) driver.to_send[i] = static_cast<char>('a' + i % 26);
            put(uart, R::interrupt_enable, 0x02);
            std::string wire;
            unsigned stalls = 0;
            for (unsigned interrupts = 0; interrupts < 2000 && driver.sent < driver.to_send.size(); ++interrupts) {
                if (!uart.interrupt_pending()) {  // the world's queue was full: it drains
                    ++stalls;
                    uart.set_transmitter_ready(true);
                    BOOST_TEST_REQUIRE(uart.interrupt_pending());
                }
                driver.serve(wire, interrupts % 3 != 0);
            }
            BOOST_TEST(wire == driver.to_send);
            BOOST_TEST(stalls > 0u);
            BOOST_TEST(!uart.interrupt_pending());
        }
    }
}

BOOST_AUTO_TEST_CASE(a_driver_that_never_reads_the_identification_does_not_stick_either) {
    R uart;
    put(uart, R::interrupt_enable, 0x02);
    for (int i = 0; i < 1000; ++i) {
        BOOST_TEST_REQUIRE(uart.interrupt_pending());
        BOOST_TEST_REQUIRE(uart.write(R::data, 'x').has_value());
        BOOST_TEST_REQUIRE(!uart.interrupt_pending());  // the falling edge
        uart.set_transmitter_ready(true);
    }
}

BOOST_AUTO_TEST_CASE(received_data_interrupts_at_the_trigger_level) {
    struct Case {
        unsigned fcr;
        std::size_t level;
    };
    for (const auto& [fcr, level] : {Case{0x01, 1}, Case{0x41, 4}, Case{0x81, 8}, Case{0xc1, 14}}) {
        R uart;
        put(uart, R::identification, fcr);
        put(uart, R::interrupt_enable, 0x01);
        receive(uart, level - 1);
        BOOST_TEST(!uart.interrupt_pending());
        receive(uart, 1);
        BOOST_TEST(get(uart, R::identification) == 0xc4u);
        static_cast<void>(get(uart, R::data));
        BOOST_TEST(!uart.interrupt_pending());
    }
}

BOOST_AUTO_TEST_CASE(a_timeout_tells_of_characters_below_the_trigger_level) {
    R uart;
    put(uart, R::identification, 0x81);
    put(uart, R::interrupt_enable, 0x01);
    BOOST_TEST(!uart.timeout_running());
    uart.receive_timeout();
    BOOST_TEST(!uart.interrupt_pending());
    const auto before = uart.receiver_activity();
    receive(uart, 2);
    BOOST_TEST(uart.timeout_running());
    BOOST_TEST(uart.receiver_activity() != before);
    uart.receive_timeout();
    BOOST_TEST(get(uart, R::identification) == 0xccu);
    BOOST_TEST(!uart.timeout_running());
    static_cast<void>(get(uart, R::data));  // clears it and starts the clock anew
    BOOST_TEST(!uart.interrupt_pending());
    BOOST_TEST(uart.timeout_running());
    static_cast<void>(get(uart, R::data));
    BOOST_TEST(!uart.timeout_running());
}

BOOST_AUTO_TEST_CASE(the_timeout_runs_only_where_the_data_sheet_has_one) {
    R uart;
    put(uart, R::interrupt_enable, 0x01);
    receive(uart, 1);
    BOOST_TEST(!uart.timeout_running());  // no FIFOs
    put(uart, R::identification, 0x41);
    receive(uart, 3);
    BOOST_TEST(uart.timeout_running());
    put(uart, R::interrupt_enable, 0x00);
    BOOST_TEST(!uart.timeout_running());
    put(uart, R::interrupt_enable, 0x01);
    BOOST_TEST(uart.timeout_running());
    receive(uart, 1);
    BOOST_TEST(!uart.timeout_running());  // the trigger level has interrupted
    static_cast<void>(get(uart, R::data));
    uart.receive_timeout();
    put(uart, R::identification, 0x43);
    BOOST_TEST(!uart.interrupt_pending());  // cleared with the FIFO
}

BOOST_AUTO_TEST_CASE(modem_changes_interrupt_also_in_loopback) {
    R uart;
    put(uart, R::interrupt_enable, 0x08);
    uart.set_modem_lines({.ri = true});
    BOOST_TEST(!uart.interrupt_pending());  // only its trailing edge counts
    uart.set_modem_lines({});
    BOOST_TEST(source(uart) == R::iir_modem_status);
    BOOST_TEST(get(uart, R::modem_status) == unsigned{R::msr_trailing_ri});
    BOOST_TEST(!uart.interrupt_pending());
    put(uart, R::modem_control, R::mcr_loopback | R::mcr_rts);
    BOOST_TEST(source(uart) == R::iir_modem_status);
    BOOST_TEST(get(uart, R::modem_status) == unsigned{R::msr_cts | R::msr_delta_cts});
    uart.set_modem_lines({.dcd = true});  // disconnected
    BOOST_TEST(!uart.interrupt_pending());
}

BOOST_AUTO_TEST_CASE(receiver_and_transmitter_interrupt_in_loopback) {
    R uart;
    put(uart, R::modem_control, R::mcr_loopback);
    put(uart, R::interrupt_enable, 0x03);
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
    put(uart, R::data, 'x');
    BOOST_TEST(source(uart) == R::iir_received_data);
    static_cast<void>(get(uart, R::data));
    BOOST_TEST(source(uart) == R::iir_transmitter_empty);
}

BOOST_AUTO_TEST_CASE(random_accesses_break_no_invariant) {
    std::mt19937 random(20260101);  // NOLINT: the same sequence each time
    R uart;
    for (int step = 0; step < 300'000; ++step) {
        const unsigned offset = random() % 8;
        const auto value = static_cast<std::uint8_t>(random());
        switch (random() % 8) {
            case 0:
            case 1: {
                const bool sends = uart.sends();
                const auto sent = uart.write(offset, value);
                BOOST_REQUIRE(sent.has_value() == (sends && offset == R::data));
                if (sent) BOOST_REQUIRE(!uart.transmitter_empty());
                uart.set_transmitter_ready(random() % 2 == 0);
                break;
            }
            case 2:
                static_cast<void>(uart.write(R::line_control, value & 0x7fU));
                break;
            case 3:
                uart.receive(value);
                break;
            case 4:
                uart.receive_timeout();
                break;
            case 5:
                uart.set_modem_lines({(value & 1U) != 0, (value & 2U) != 0, (value & 4U) != 0, (value & 8U) != 0});
                break;
            default:
                static_cast<void>(uart.read(offset));
                break;
        }
        BOOST_REQUIRE(uart.wanted() <= R::fifo_size);
        BOOST_REQUIRE(uart.character_time().count() > 0);
        R copy = uart;
        const bool pending = copy.interrupt_pending();
        const unsigned identification = copy.read(R::identification);
        BOOST_REQUIRE(((identification & 1U) == 0) == pending);
        BOOST_REQUIRE((identification & 0x30U) == 0u);
        // Whatever has happened: a driver that serves what the identification names comes to an end.
        std::string wire;
        Driver driver{copy, ""};
        if ((copy.read(R::line_control) & R::lcr_divisor_latch) == 0) {
            driver.serve(wire, true);
            BOOST_REQUIRE(!copy.interrupt_pending());
            BOOST_REQUIRE(driver.received.size() <= R::fifo_size);
        }
        BOOST_REQUIRE((copy.read(R::line_status) & 0x9cU) == 0u);  // no parity, framing, break or FIFO error exists
        BOOST_REQUIRE((copy.read(R::interrupt_enable) & 0xf0U) == 0u ||
                      (copy.read(R::line_control) & R::lcr_divisor_latch) != 0);
    }
}
