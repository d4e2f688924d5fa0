// The ports of a PC that end, restart and time it.
#define BOOST_TEST_MODULE platform_ports
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "surroundings.hpp"

#include <asyncvm/devices.hpp>

#include <memory>
#include <string>
#include <vector>

using namespace asyncvm;

namespace {

struct Fixture : DeviceRunner {
    std::vector<std::string> offs;
    std::vector<std::string> resets;
    PlatformRequest power_off = [this](std::string why) { offs.push_back(std::move(why)); };
    PlatformRequest reset = [this](std::string why) { resets.push_back(std::move(why)); };
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(power, Fixture)

BOOST_AUTO_TEST_CASE(sleep_enable_powers_off_whatever_the_sleep_state_is) {
    const auto device = make_power_ports(power_off, reset);
    for (const unsigned port : {0x604u, 0xb004u, 0x4004u}) {
        for (const unsigned value : {0x2000u, 0x3400u, 0x2001u, 0xffffu}) {
            write(*device, make_access(port, 2, value));
            BOOST_TEST(offs.size() == 1u);
            offs.clear();
        }
        for (const unsigned value : {0u, 0x1u, 0x1400u, 0xdfffu}) write(*device, make_access(port, 2, value));
        write(*device, make_access(port, 1, 0x34));
    }
    BOOST_TEST(offs.empty());
    BOOST_TEST(resets.empty());
}

BOOST_AUTO_TEST_CASE(port_600_takes_the_sleep_byte_and_a_reset) {
    const auto device = make_power_ports(power_off, reset);
    for (const unsigned value : {0u, 0x30u, 0x20u, 0x14u, 0x35u}) write(*device, make_access(0x600, 1, value));
    write(*device, make_access(0x600, 2, 0x2000));
    BOOST_TEST(offs.empty());
    BOOST_TEST(resets.empty());
    write(*device, make_access(0x600, 1, 0x34));
    write(*device, make_access(0x600, 2, 0x3400));
    BOOST_TEST(offs.size() == 2u);
    write(*device, make_access(0x600, 1, 1));
    BOOST_REQUIRE(resets.size() == 1u);
    BOOST_TEST(resets[0] == "the guest wrote 0x1 to port 0x600 (reset)");
}

BOOST_AUTO_TEST_CASE(reads_give_0) {
    const auto device = make_power_ports(power_off, reset);
    BOOST_TEST(read(*device, make_access(0x604, 2, 0xffff)) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
