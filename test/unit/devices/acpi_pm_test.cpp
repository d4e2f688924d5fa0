// The ACPI power-management block: its registers, and the device around them.
#define BOOST_TEST_MODULE acpi_pm
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "devices/acpi_pm_registers.hpp"
#include "surroundings.hpp"

#include <asyncvm/devices.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace asyncvm;
using namespace std::chrono_literals;
using R = AcpiPmRegisters;

namespace {

constexpr unsigned sci = 9;

struct Fixture : DeviceRunner {
    Fixture() {
        device->attached(surroundings.context());
        background.start(device->run());
        background.poll();
    }

    void out(unsigned offset, unsigned size, std::uint64_t value) {
        write(*device, at(offset, size, value));
        background.poll();
    }
    std::uint64_t in(unsigned offset, unsigned size) { return read(*device, at(offset, size)); }
    void pass(MachineClock::duration time) {
        surroundings.clock.advance(time);
        background.poll();
    }
    [[nodiscard]] bool interrupt() const { return surroundings.pins[sci].pin.level(); }

    static Access at(unsigned offset, unsigned size, std::uint64_t value = 0) {
        Access access = make_access(0x600 + offset, size, value);
        access.offset = offset;
        return access;
    }

    asio::io_context loop{1};
    Surroundings surroundings{loop};
    std::vector<std::string> offs;
    std::vector<std::string> lines;
    std::shared_ptr<AcpiPm> device = make_acpi_pm([this](std::string why) { offs.push_back(std::move(why)); }, sci,
                                                  [this](std::string_view line) { lines.emplace_back(line); });
    DeviceRunner background;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(acpi_pm, Fixture)

BOOST_AUTO_TEST_CASE(the_machine_is_in_acpi_mode_from_the_start) {
    BOOST_TEST(in(R::status, 2) == 0u);
    BOOST_TEST(in(R::enable, 2) == 0u);
    BOOST_TEST(in(R::control, 2) == 1u);
    out(R::control, 2, 0);
    BOOST_TEST(in(R::control, 2) == 1u);
}

BOOST_AUTO_TEST_CASE(the_sleep_types_of_s5_power_off) {
    out(R::control, 2, 5 << 10);
    BOOST_TEST(offs.empty());
    BOOST_TEST(in(R::control, 2) == ((5 << 10) | 1u));
    out(R::control, 2, (5 << 10) | 0x2000);
    BOOST_REQUIRE(offs.size() == 1u);
    BOOST_TEST(offs[0] == "the guest wrote 0x3400 to port 0x604 (power off)");
    BOOST_TEST(in(R::control, 2) == ((5 << 10) | 1u));
    out(R::control, 2, 0x2000);
    out(R::control, 4, 0x3400);
    out(R::control + 1, 1, 0x34);
    BOOST_TEST(offs.size() == 4u);
    BOOST_TEST(lines.empty());
}

BOOST_AUTO_TEST_CASE(another_sleep_type_is_kept_and_named_once) {
    out(R::control, 2, (1 << 10) | 0x2000);
    out(R::control, 2, (3 << 10) | 0x2000);
    BOOST_TEST(offs.empty());
    BOOST_REQUIRE(lines.size() == 1u);
    BOOST_TEST(lines[0] == "device acpi-pm: sleep type 1 is none that this machine has (5: power off)");
    BOOST_TEST(in(R::control, 2) == ((3 << 10) | 1u));
}

BOOST_AUTO_TEST_CASE(the_timer_counts_3_579_545_a_second_with_32_bits) {
    BOOST_TEST(in(R::timer, 4) == 0u);
    pass(1s);
    BOOST_TEST(in(R::timer, 4) == 3'579'545u);
    pass(1s);
    const std::uint32_t two_seconds = 2 * 3'579'545;
    BOOST_TEST(in(R::timer, 4) == two_seconds);
    BOOST_TEST(in(R::timer, 2) == (two_seconds & 0xffff));
    BOOST_TEST(in(R::timer + 2, 2) == two_seconds >> 16);
    BOOST_TEST(in(R::timer + 3, 1) == two_seconds >> 24);
    out(R::timer, 4, 0);
    BOOST_TEST(in(R::timer, 4) == two_seconds);
    pass(24h * 365);
    BOOST_TEST(in(R::timer, 4) == static_cast<std::uint32_t>((24ull * 3600 * 365 + 2) * 3'579'545));
}

BOOST_AUTO_TEST_CASE(the_timer_s_event_comes_when_its_highest_bit_changes) {
    out(R::enable, 2, R::timer_bit);
    constexpr auto half = 599'932ms;  // and a bit: 2^31 ticks
    pass(half);
    BOOST_TEST(!interrupt());
    pass(1ms);
    BOOST_TEST(interrupt());
    BOOST_TEST((in(R::timer, 4) >> 31) == 1u);
    BOOST_TEST(in(R::status, 2) == R::timer_bit);
    out(R::status, 2, R::timer_bit);
    BOOST_TEST(!interrupt());
    BOOST_TEST(in(R::status, 2) == 0u);
    pass(half + 1ms);
    BOOST_TEST(interrupt());
}

// A thread may be held up between any two readings of the clock: the event may not wait for the next one.
BOOST_AUTO_TEST_CASE(an_event_that_comes_while_the_device_works_is_seen_at_once) {
    for (unsigned readings = 1; readings <= 8; ++readings) {
        BOOST_TEST_CONTEXT("the clock moves after reading " << readings) {
            Fixture other;
            other.surroundings.clock.jump_after(readings, 599'933ms);  // 2^31 ticks
            other.out(R::enable, 2, R::timer_bit);
            for (unsigned i = 0; i < readings; ++i)
                static_cast<void>(other.surroundings.clock.now());  // it has moved by now
            other.pass(1ms);
            BOOST_TEST(other.interrupt());
        }
    }
}

BOOST_AUTO_TEST_CASE(nothing_wakes_up_while_the_timer_s_event_is_off) {
    BOOST_TEST(surroundings.clock.listeners() == 0u);
    out(R::enable, 2, R::timer_bit);
    BOOST_TEST(surroundings.clock.listeners() == 1u);
    out(R::enable, 2, R::power_button);
    BOOST_TEST(surroundings.clock.listeners() == 0u);
    pass(1000s);
    BOOST_TEST(in(R::status, 2) == R::timer_bit);  // the event is noted all the same
}

BOOST_AUTO_TEST_CASE(the_power_button_interrupts_until_its_status_is_cleared) {
    device->press_power_button();
    BOOST_TEST(!interrupt());
    BOOST_TEST(in(R::status, 2) == R::power_button);
    out(R::enable, 2, R::power_button);
    BOOST_TEST(interrupt());
    out(R::status, 2, static_cast<std::uint16_t>(~R::power_button));
    BOOST_TEST(interrupt());
    out(R::status + 1, 1, 1);
    BOOST_TEST(!interrupt());
    device->press_power_button();
    BOOST_TEST(interrupt());
    device->reset();
    BOOST_TEST(!interrupt());
}

BOOST_AUTO_TEST_CASE(one_wide_access_reaches_status_and_enable) {
    device->press_power_button();
    out(R::status, 4, 0xffff'0100);
    BOOST_TEST(in(R::status, 4) == std::uint64_t{R::known_events} << 16);
    out(R::enable + 1, 1, 0);
    BOOST_TEST(in(R::enable, 2) == (R::known_events & 0xffu));
}

BOOST_AUTO_TEST_SUITE_END()
