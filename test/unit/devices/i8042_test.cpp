// The keyboard controller: what drivers ask it, and what its ports do.
#define BOOST_TEST_MODULE i8042
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "devices/i8042_registers.hpp"
#include "surroundings.hpp"

#include <asyncvm/devices.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using namespace asyncvm;
using R = I8042Registers;

namespace {

using Bytes = std::vector<unsigned>;

/// A guest that counts its accesses.
struct Driver {
    R registers;
    unsigned accesses = 0;
    unsigned resets = 0;

    unsigned status() {
        ++accesses;
        return registers.status();
    }
    unsigned data() {
        ++accesses;
        return registers.read_data();
    }
    void command(unsigned value) {
        ++accesses;
        if (registers.write_command(static_cast<std::uint8_t>(value))) ++resets;
    }
    void write(unsigned value) {
        ++accesses;
        if (registers.write_data(static_cast<std::uint8_t>(value))) ++resets;
    }
    Bytes all() {
        Bytes bytes;
        while ((status() & R::output_full) != 0) bytes.push_back(data());
        return bytes;
    }
    Bytes ask(unsigned value) {
        write(value);
        return all();
    }

    /// As Linux does it (drivers/input/serio/i8042.c): waits for room, and polls for an answer.
    std::optional<unsigned> linux_command(unsigned code, std::optional<unsigned> parameter, bool answers) {
        BOOST_REQUIRE((status() & 2U) == 0);
        command(code);
        if (parameter) {
            BOOST_REQUIRE((status() & 2U) == 0);
            write(*parameter);
        }
        if (!answers) return std::nullopt;
        for (unsigned polls = 0; (status() & R::output_full) == 0; ++polls) {
            BOOST_REQUIRE_MESSAGE(polls < 10'000, "no answer to " << code);
        }
        if (code == 0xd3 && (status() & R::auxiliary) == 0) return std::nullopt;
        return data();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(controller, Driver)

BOOST_AUTO_TEST_CASE(self_test_and_keyboard_test_pass) {
    BOOST_TEST(status() == (R::not_locked | R::system_flag));
    command(0xaa);
    BOOST_TEST(status() == (R::not_locked | R::system_flag | R::was_command | R::output_full));
    BOOST_TEST(data() == 0x55u);
    BOOST_TEST((status() & R::output_full) == 0u);
    BOOST_TEST(data() == 0x55u);  // the last byte again
    command(0xab);
    BOOST_TEST(all() == Bytes{0x00}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_command_byte_and_the_ram_read_back) {
    command(0x20);
    BOOST_TEST(data() == 0x65u);
    command(0x60);
    write(0x47);
    command(0x20);
    BOOST_TEST(data() == 0x67u);  // the auxiliary device can't be enabled
    command(0x75);
    write(0xa5);
    command(0x35);
    BOOST_TEST(data() == 0xa5u);
    BOOST_TEST((status() & R::system_flag) == R::system_flag);
    command(0x60);
    write(0x00);
    BOOST_TEST((status() & R::system_flag) == 0u);
}

BOOST_AUTO_TEST_CASE(a_disabled_keyboard_keeps_its_bytes_until_it_is_enabled) {
    write(0xee);
    command(0xad);
    BOOST_TEST((status() & R::output_full) == 0u);
    command(0xae);
    BOOST_TEST(all() == Bytes{0xee}, boost::test_tools::per_element());
    command(0xad);
    write(0xee);  // a command to it enables it
    BOOST_TEST(all() == Bytes{0xee}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a20_is_kept_in_the_output_port) {
    const auto output_port = [this] {
        command(0xd0);
        return data();
    };
    BOOST_TEST((output_port() & 3) == 3u);
    command(0xdd);
    BOOST_TEST((output_port() & 3) == 1u);
    command(0xdf);
    BOOST_TEST((output_port() & 3) == 3u);
    command(0xd1);
    write(0xdd);
    BOOST_TEST(output_port() == 0xddu);
    BOOST_TEST(resets == 0u);
}

BOOST_AUTO_TEST_CASE(a_pulse_and_the_output_port_reset_the_machine) {
    command(0xfe);
    BOOST_TEST(resets == 1u);
    command(0xff);
    command(0xf1);
    BOOST_TEST(resets == 1u);
    command(0xf0);
    BOOST_TEST(resets == 2u);
    command(0xd1);
    write(0xfe);
    BOOST_TEST(resets == 3u);
    command(0xd0);
    BOOST_TEST((data() & 1) == 1u);
}

BOOST_AUTO_TEST_CASE(there_is_no_auxiliary_device_and_it_says_so_at_once) {
    command(0xa8);
    command(0x20);
    BOOST_TEST((data() & R::auxiliary_disabled) == R::auxiliary_disabled);
    command(0xa9);
    BOOST_TEST(all() == Bytes{0x01}, boost::test_tools::per_element());
    command(0xd4);
    write(0xff);
    BOOST_TEST((status() & (R::output_full | R::auxiliary | R::timed_out)) ==
               (R::output_full | R::auxiliary | R::timed_out));
    BOOST_TEST(!registers.interrupt_pending());
    BOOST_TEST(data() == 0xfeu);
    command(0xd3);
    write(0x5a);
    BOOST_TEST((status() & (R::output_full | R::auxiliary)) == R::output_full);
    BOOST_TEST(data() == 0x5au);
    command(0xd2);
    write(0x1c);
    BOOST_TEST(registers.interrupt_pending());
    BOOST_TEST(data() == 0x1cu);
}

BOOST_AUTO_TEST_CASE(linux_finds_a_keyboard_and_no_mouse_without_a_wait) {
    while ((status() & R::output_full) != 0) data();  // i8042_flush()
    BOOST_TEST(linux_command(0x20, {}, true).value() == linux_command(0x20, {}, true).value());
    status();  // the key lock
    linux_command(0x60, 0x74, false);
    while ((status() & R::output_full) != 0) data();
    BOOST_TEST(!linux_command(0xd3, 0x5a, true).has_value());
    const auto auxiliary_test = linux_command(0xa9, {}, true);
    BOOST_TEST(auxiliary_test.value() == 0x01u);  // not 0, 0xfa or 0xff: no auxiliary port
    linux_command(0x60, 0x65, false);
    BOOST_TEST(accesses == 29u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(keyboard, Driver)

BOOST_AUTO_TEST_CASE(reset_passes_its_test) {
    BOOST_TEST(ask(0xff) == (Bytes{0xfa, 0xaa}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(identification_is_translated_unless_translation_is_off) {
    BOOST_TEST(ask(0xf2) == (Bytes{0xfa, 0xab, 0x41}), boost::test_tools::per_element());
    command(0x60);
    write(0x25);
    BOOST_TEST(ask(0xf2) == (Bytes{0xfa, 0xab, 0x83}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(leds_rate_and_enabling_are_acknowledged) {
    for (const unsigned value : {0xedu, 0x02u, 0xf3u, 0x7fu, 0xf4u, 0xf5u, 0xf6u}) {
        BOOST_TEST(ask(value) == Bytes{0xfa}, boost::test_tools::per_element());
    }
    BOOST_TEST(ask(0xee) == Bytes{0xee}, boost::test_tools::per_element());
    BOOST_TEST(ask(0xfe) == Bytes{0xee}, boost::test_tools::per_element());
    BOOST_TEST(ask(0x05) == Bytes{0xfe}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_command_in_the_place_of_a_parameter_is_a_command) {
    BOOST_TEST(ask(0xed) == Bytes{0xfa}, boost::test_tools::per_element());
    BOOST_TEST(ask(0xff) == (Bytes{0xfa, 0xaa}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_scan_code_set_is_kept_until_the_defaults_come_back) {
    command(0x60);
    write(0x25);
    const auto set = [this] {
        BOOST_TEST(ask(0xf0) == Bytes{0xfa}, boost::test_tools::per_element());
        return ask(0x00);
    };
    BOOST_TEST(set() == (Bytes{0xfa, 0x02}), boost::test_tools::per_element());
    BOOST_TEST(ask(0xf0) == Bytes{0xfa}, boost::test_tools::per_element());
    BOOST_TEST(ask(0x03) == Bytes{0xfa}, boost::test_tools::per_element());
    BOOST_TEST(set() == (Bytes{0xfa, 0x03}), boost::test_tools::per_element());
    BOOST_TEST(ask(0xf6) == Bytes{0xfa}, boost::test_tools::per_element());
    BOOST_TEST(set() == (Bytes{0xfa, 0x02}), boost::test_tools::per_element());
    BOOST_TEST(ask(0xf0) == Bytes{0xfa}, boost::test_tools::per_element());
    BOOST_TEST(ask(0x04) == Bytes{0xfe}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(answers_that_nobody_reads_are_bounded) {
    for (int i = 0; i < 1000; ++i) write(0xee);
    BOOST_TEST(all().size() == R::queue_size);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_CASE(each_byte_is_an_edge_of_irq_1) {
    asio::io_context loop{1};
    Surroundings surroundings(loop);
    std::vector<std::string> resets;
    const auto device = make_i8042([&resets](std::string why) { resets.push_back(std::move(why)); });
    device->attached(surroundings.context());
    DeviceRunner vcpu;
    const auto& pin = surroundings.pins[1];
    vcpu.write(*device, DeviceRunner::make_access(0x60, 1, 0xf2));
    BOOST_TEST(pin.rising == 1u);
    BOOST_TEST(vcpu.read(*device, DeviceRunner::make_access(0x60, 1)) == 0xfau);
    BOOST_TEST(pin.rising == 2u);
    BOOST_TEST(vcpu.read(*device, DeviceRunner::make_access(0x60, 1)) == 0xabu);
    BOOST_TEST(vcpu.read(*device, DeviceRunner::make_access(0x60, 1)) == 0x41u);
    BOOST_TEST(pin.rising == 3u);
    BOOST_TEST(!pin.pin.level());
    vcpu.write(*device, DeviceRunner::make_access(0x64, 1, 0x60));
    vcpu.write(*device, DeviceRunner::make_access(0x60, 1, 0x64));
    vcpu.write(*device, DeviceRunner::make_access(0x60, 1, 0xee));
    BOOST_TEST(pin.rising == 3u);  // its interrupt is off
    vcpu.write(*device, DeviceRunner::make_access(0x64, 1, 0xfe));
    BOOST_REQUIRE(resets.size() == 1u);
    BOOST_TEST(resets[0] == "the guest wrote 0xfe to port 0x64 (keyboard controller)");
}
