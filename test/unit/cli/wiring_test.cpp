#include "command_line.hpp"

#include <asyncvm/open_chardev.hpp>
#include "bus/io_bus.hpp"
#include "cli/wiring.hpp"

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::cli;

namespace {

std::string dry_run_error(const std::vector<std::string>& arguments) {
    asio::io_context loop;
    return usage_error([&] { dry_run(parse(arguments), loop); });
}

/// A machine's buses, with nothing opened.
struct Fixture {
    asio::io_context loop{1};
    std::shared_ptr<DeviceSlots> slots = std::make_shared<DeviceSlots>(loop, Log());
    IoBus ports{Space::port, slots};
    IoBus mmio{Space::memory, slots};
    std::vector<std::string> opened;

    void attach(const std::vector<std::string>& arguments) {
        const auto open = [this](const StreamRequest& request) {
            opened.push_back(request.label + (request.reads ? " reads " : " writes ") + std::string(request.spec));
            return open_chardev(ChardevSpec{}, ChardevEnvironment{.loop = loop});
        };
        attach_devices(parse(arguments),
                       {.ports = ports, .mmio = mmio, .open_stream = open, .finish = [](const Outcome&) {}});
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(wiring)

BOOST_AUTO_TEST_CASE(a_flat_machine_has_its_default_devices) {
    Fixture fixture;
    fixture.attach({"g"});
    BOOST_TEST(fixture.ports.device_name(0x3f8) == "uart16550");
    BOOST_TEST(fixture.ports.device_name(0x2f8) == "");
    BOOST_TEST(fixture.ports.device_name(0x10) == "counter");
    for (const auto port : {0xe9, 0xf1, 0x402})
        BOOST_TEST(fixture.ports.device_name(static_cast<unsigned>(port)) == "debugcon");
    for (const auto port : {0xf4, 0x501}) BOOST_TEST(fixture.ports.device_name(static_cast<unsigned>(port)) == "exit");
    BOOST_TEST(fixture.opened.front() == "serial0 reads stdio");
}

BOOST_AUTO_TEST_CASE(four_serial_ports_are_com1_to_com4) {
    Fixture fixture;
    fixture.attach({"--serial", "null", "--serial", "pty", "--serial", "stdio", "--serial", "tcp:0", "g"});
    for (const unsigned port : {0x3f8, 0x2f8, 0x3e8, 0x2e8}) BOOST_TEST(fixture.ports.device_name(port) == "uart16550");
    BOOST_TEST(fixture.opened[1] == "serial1 reads pty");
    BOOST_TEST(fixture.opened[3] == "serial3 reads tcp:0");
}

BOOST_AUTO_TEST_CASE(without_defaults_there_is_nothing) {
    Fixture fixture;
    fixture.attach({"--no-defaults", "g"});
    BOOST_TEST(fixture.ports.devices().empty());
    BOOST_TEST(fixture.opened.empty());
}

BOOST_AUTO_TEST_CASE(a_serial_port_that_is_added_as_a_device_reads) {
    Fixture fixture;
    fixture.attach({"--no-defaults", "--device", "uart16550,port=0x200,chardev=tcp:0,,wait", "g"});
    BOOST_REQUIRE(fixture.opened.size() == 1U);
    BOOST_TEST(fixture.opened[0] == "uart16550 reads tcp:0,wait");
}

BOOST_AUTO_TEST_CASE(a_rehearsal_opens_nothing) {
    asio::io_context loop;
    BOOST_CHECK_NO_THROW(
        dry_run(parse({"--serial", "file:/no/such/directory/file", "--serial", "tcp:192.0.2.1:1", "g"}), loop));
}

BOOST_AUTO_TEST_CASE(a_rehearsal_finds_what_is_wrong) {
    struct Case {
        std::vector<std::string> arguments;
        std::string message;  ///< a part of it
    };
    const Case cases[] = {
        {{"--serial", "tpc:4444", "g"}, "--serial 'tpc:4444'"},
        {{"--serial", "tcp:70000", "g"}, "70000"},
        {{"--serial", "tcp:4444,nonsense", "g"}, "nonsense"},
        {{"--serial", "", "g"}, "--serial"},
        {{"--debugcon", "fil:x", "g"}, "device debugcon, chardev 'fil:x'"},
        {{"--device", "conter", "g"}, "did you mean counter?"},
        {{"--device", "counter,colour=red", "g"}, "colour"},
        {{"--device", "counter,port=0x10000", "g"}, "port=0x10000"},
        {{"--device", "exit,code=maybe", "g"}, "code=maybe"},
        {{"--device", "counter,mmio=0x1000", "g"}, "in the guest's RAM"},
        {{"--memory", "4G", "--device", "counter,mmio=0x100000000", "g"}, "in the guest's RAM"},
    };
    for (const auto& [arguments, message] : cases) {
        const auto error = dry_run_error(arguments);
        BOOST_TEST(contains(error, message), "expected '" << message << "' in '" << error << "'");
    }
}

BOOST_AUTO_TEST_CASE(two_devices_in_one_place_are_both_named) {
    const auto error = dry_run_error({"--device", "counter,port=0x3f8", "g"});
    BOOST_TEST(contains(error, "counter"), error);
    BOOST_TEST(contains(error, "uart16550"), error);
}

BOOST_AUTO_TEST_CASE(addresses_beside_the_ram_are_free) {
    BOOST_TEST(dry_run_error({"--device", "counter,mmio=0xd0000000", "g"}) == "(no error)");
    BOOST_TEST(dry_run_error({"--memory", "4G", "--device", "counter,mmio=0x140000000", "g"}) == "(no error)");
    BOOST_TEST(dry_run_error({"--memory", "3G", "--device", "counter,mmio=0x100000000", "g"}) == "(no error)");
}

BOOST_AUTO_TEST_SUITE_END()
