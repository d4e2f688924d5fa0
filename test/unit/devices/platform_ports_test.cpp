// The ports of a PC that end, restart and time it.
#define BOOST_TEST_MODULE platform_ports
#include <boost/test/unit_test.hpp>

#include "device_runner.hpp"
#include "surroundings.hpp"

#include <asyncvm/devices.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

struct Fixture : DeviceRunner {
    std::vector<std::string> offs;
    std::vector<std::string> resets;
    PlatformRequest power_off = [this](std::string why) { offs.push_back(std::move(why)); };
    asio::io_context loop{1};
    Surroundings surroundings{loop};

    static Access at(std::uint64_t first, unsigned offset, unsigned size, std::uint64_t data = 0) {
        Access access = make_access(first + offset, size, data);
        access.offset = offset;
        return access;
    }
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

BOOST_FIXTURE_TEST_SUITE(pci_config, Fixture)

BOOST_AUTO_TEST_CASE(the_reset_control_register_resets_when_bit_2_rises_and_reads_back) {
    const auto device = make_pci_config(reset);
    BOOST_TEST(read(*device, at(0xcf8, 1, 1)) == 0u);
    write(*device, at(0xcf8, 1, 1, 0x02));
    BOOST_TEST(resets.empty());
    BOOST_TEST(read(*device, at(0xcf8, 1, 1)) == 0x02u);
    write(*device, at(0xcf8, 1, 1, 0x06));
    BOOST_REQUIRE(resets.size() == 1u);
    BOOST_TEST(resets[0] == "the guest wrote 0x06 to port 0xcf9 (reset control)");
    BOOST_TEST(read(*device, at(0xcf8, 1, 1)) == 0x06u);
    write(*device, at(0xcf8, 1, 1, 0x0e));
    BOOST_TEST(resets.size() == 1u);
    write(*device, at(0xcf8, 1, 1, 0xf0));
    BOOST_TEST(read(*device, at(0xcf8, 1, 1)) == 0u);
    write(*device, at(0xcf8, 1, 1, 0x0e));
    BOOST_TEST(resets.size() == 2u);
    device->reset();
    BOOST_TEST(read(*device, at(0xcf8, 1, 1)) == 0u);
    write(*device, at(0xcf8, 1, 1, 0x06));
    BOOST_TEST(resets.size() == 3u);
}

BOOST_AUTO_TEST_CASE(an_address_whose_second_byte_is_that_of_a_reset_resets_nothing) {
    const auto device = make_pci_config(reset);
    write(*device, at(0xcf8, 0, 4, 0x8000'0600));
    write(*device, at(0xcf8, 0, 2, 0x0600));
    write(*device, at(0xcf8, 1, 2, 0x0006));
    BOOST_TEST(resets.empty());
}

BOOST_AUTO_TEST_CASE(without_the_mechanism_linux_finds_no_way_to_configure) {
    const auto device = make_pci_config(reset);
    write(*device, at(0xcf8, 0, 4, 0x8000'0000));
    BOOST_TEST(read(*device, at(0xcf8, 0, 4)) == 0xffff'ffffu);  // type 1 needs what was written
    write(*device, at(0xcf8, 0, 1, 0));
    BOOST_TEST(read(*device, at(0xcf8, 0, 1)) == 0xffu);  // type 2 needs 0
    BOOST_TEST(read(*device, at(0xcf8, 4, 4)) == 0xffff'ffffu);
    BOOST_TEST(read(*device, at(0xcf8, 6, 2)) == 0xffffu);
}

BOOST_AUTO_TEST_CASE(with_the_mechanism_the_address_reads_back_and_no_device_answers) {
    const auto device = make_pci_config(reset, true);
    write(*device, at(0xcf8, 0, 4, 0xffff'ffff));
    BOOST_TEST(read(*device, at(0xcf8, 0, 4)) == 0x80ff'fffcu);
    write(*device, at(0xcf8, 0, 1, 0));
    BOOST_TEST(read(*device, at(0xcf8, 0, 4)) == 0x80ff'fffcu);
    BOOST_TEST(read(*device, at(0xcf8, 4, 4)) == 0xffff'ffffu);
    BOOST_TEST(read(*device, at(0xcf8, 7, 1)) == 0xffu);
    device->reset();
    BOOST_TEST(read(*device, at(0xcf8, 0, 4)) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(port92, Fixture)

BOOST_AUTO_TEST_CASE(a20_is_on_and_kept_and_bit_0_resets_when_it_rises) {
    const auto device = make_port92(reset);
    BOOST_TEST(read(*device, make_access(0x92, 1)) == 0x02u);
    write(*device, make_access(0x92, 1, 0x00));
    BOOST_TEST(read(*device, make_access(0x92, 1)) == 0x00u);
    BOOST_TEST(resets.empty());
    write(*device, make_access(0x92, 1, 0x03));
    BOOST_REQUIRE(resets.size() == 1u);
    BOOST_TEST(resets[0] == "the guest wrote 0x03 to port 0x92 (fast reset)");
    write(*device, make_access(0x92, 1, 0x01));
    BOOST_TEST(resets.size() == 1u);
    device->reset();
    BOOST_TEST(read(*device, make_access(0x92, 1)) == 0x02u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(port61, Fixture)

BOOST_AUTO_TEST_CASE(the_refresh_bit_toggles_with_the_machine_s_time) {
    const auto device = make_port61();
    device->attached(surroundings.context());
    unsigned changes = 0;
    std::uint64_t before = 0;
    for (int i = 0; i < 20; ++i) {
        surroundings.clock.advance(15'085ns);
        const auto bit = read(*device, make_access(0x61, 1)) & 0x10;
        if (bit != before) ++changes;
        before = bit;
    }
    BOOST_TEST(changes == 20u);
}

BOOST_AUTO_TEST_CASE(the_timer_s_output_takes_both_levels_once_its_gate_is_open) {
    const auto device = make_port61();
    device->attached(surroundings.context());
    surroundings.clock.advance(15ms);
    BOOST_TEST((read(*device, make_access(0x61, 1)) & 0x20) == 0u);
    write(*device, make_access(0x61, 1, 0xfd));
    BOOST_TEST((read(*device, make_access(0x61, 1)) & 0xef) == 0x0du);
    surroundings.clock.advance(10ms);
    BOOST_TEST((read(*device, make_access(0x61, 1)) & 0x20) == 0x20u);
    write(*device, make_access(0x61, 1, 0x01));  // the gate was open: nothing begins again
    BOOST_TEST((read(*device, make_access(0x61, 1)) & 0x20) == 0x20u);
    surroundings.clock.advance(10ms);
    BOOST_TEST((read(*device, make_access(0x61, 1)) & 0x20) == 0u);
    write(*device, make_access(0x61, 1, 0x00));
    surroundings.clock.advance(15ms);
    BOOST_TEST((read(*device, make_access(0x61, 1)) & 0x20) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(pvpanic, Fixture)

BOOST_AUTO_TEST_CASE(a_panic_ends_the_run_as_a_crash) {
    std::vector<Outcome> outcomes;
    std::vector<std::string> lines;
    const auto device = make_pvpanic([&outcomes](Outcome outcome) { outcomes.push_back(std::move(outcome)); },
                                     [&lines](std::string_view line) { lines.emplace_back(line); });
    BOOST_TEST(read(*device, make_access(0x505, 1)) == 3u);
    auto context = surroundings.context();
    std::vector<std::string> told;
    context.tell = [&told](std::string_view what) { told.emplace_back(what); };
    device->attached(context);
    write(*device, make_access(0x505, 1, 2));
    write(*device, make_access(0x505, 1, 2));
    write(*device, make_access(0x505, 1, 4));
    BOOST_TEST(outcomes.empty());
    BOOST_REQUIRE(lines.size() == 1u);
    BOOST_TEST(lines[0] == "the guest's kernel panicked, and runs its crash kernel");
    write(*device, make_access(0x505, 1, 1));
    BOOST_REQUIRE(outcomes.size() == 1u);
    BOOST_TEST((outcomes[0].kind == Outcome::Kind::crashed));
    BOOST_TEST(outcomes[0].summary == "the guest's kernel panicked");
    BOOST_TEST(told == (std::vector<std::string>{lines[0], outcomes[0].summary}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(testdev, Fixture)

BOOST_AUTO_TEST_CASE(ports_e0_to_e3_read_back_in_every_width) {
    const auto device = make_testdev();
    write(*device, at(0xe0, 0, 4, 0x1234'5678));
    BOOST_TEST(read(*device, at(0xe0, 0, 4)) == 0x1234'5678u);
    BOOST_TEST(read(*device, at(0xe0, 2, 2)) == 0x1234u);
    BOOST_TEST(read(*device, at(0xe0, 1, 1)) == 0x56u);
    write(*device, at(0xe0, 1, 1, 0xff));
    BOOST_TEST(read(*device, at(0xe0, 0, 4)) == 0x1234'ff78u);
    write(*device, at(0xe4, 0, 4, 0x1000));  // its page flush
    BOOST_TEST(read(*device, at(0xe4, 0, 4)) == 0u);
    BOOST_TEST(read(*device, at(0xe0, 0, 4)) == 0x1234'ff78u);
}

BOOST_AUTO_TEST_CASE(ports_2000_and_up_are_interrupt_lines) {
    const auto device = make_testdev();
    device->attached(surroundings.context());
    for (unsigned irq = 0; irq < 24; ++irq) {
        write(*device, at(0x2000, irq, 1, 1));
        BOOST_TEST(surroundings.pins[irq].pin.level());
        write(*device, at(0x2000, irq, 1 << (irq % 3), 0));
        BOOST_TEST(!surroundings.pins[irq].pin.level());
    }
    write(*device, at(0x2000, 23, 4, 0x100));
    BOOST_TEST(surroundings.pins[23].pin.level());
    device->reset();
    BOOST_TEST(!surroundings.pins[23].pin.level());
}

BOOST_AUTO_TEST_CASE(its_memory_reads_back) {
    const auto device = make_testdev();
    const auto memory = [](unsigned offset, unsigned size, std::uint64_t data = 0) {
        Access access = at(0xff00'0000, offset, size, data);
        access.space = Space::memory;
        return access;
    };
    write(*device, memory(0xfff8, 8, 0x1122'3344'5566'7788));
    BOOST_TEST(read(*device, memory(0xfff8, 8)) == 0x1122'3344'5566'7788u);
    BOOST_TEST(read(*device, memory(0xfffc, 4)) == 0x1122'3344u);
    BOOST_TEST(read(*device, memory(0, 8)) == 0u);
}

BOOST_AUTO_TEST_SUITE_END()
