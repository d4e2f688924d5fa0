#include "monitor/interrupt_text.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <random>
#include <string>

using namespace asyncvm;
using namespace asyncvm::monitor;

namespace {

bool has(const std::string& text, const std::string& line) { return text.find(line + "\n") != std::string::npos; }

}  // namespace

BOOST_AUTO_TEST_SUITE(interrupt_text)

BOOST_AUTO_TEST_CASE(the_pics) {
    InterruptState state;
    state.pics[0] = {.irr = 1, .isr = 2, .imr = 0xfb, .vector = 8, .elcr = 0};
    state.pics[1] = {.irr = 0, .isr = 0, .imr = 0xff, .vector = 0x70, .elcr = 0x0c};
    const std::string text = describe_interrupts(state, 0);
    BOOST_TEST(has(text,
                   "8259A, master: vectors from 0x08, requested 00000001, in service 00000010, masked 11111011, level "
                   "00000000"));
    BOOST_TEST(has(text,
                   "8259A, slave : vectors from 0x70, requested 00000000, in service 00000000, masked 11111111, level "
                   "00001100"));
}

BOOST_AUTO_TEST_CASE(the_ioapic) {
    InterruptState state;
    for (auto& entry : state.ioapic.redirection) entry = 1u << 16;
    state.ioapic.redirection[2] = 0x0200'0000'0000'0030;
    state.ioapic.redirection[9] = 0x0300'0000'0001'a931;  // level, active low, logical, lowest priority, masked
    state.ioapic.irr = 1u << 9;
    const std::string text = describe_interrupts(state, 0);
    BOOST_TEST(has(text, "IOAPIC: 22 inputs are masked and have no vector"));
    BOOST_TEST(has(text, "  input  2: vector 0x30, fixed, edge to APIC 0x2"));
    BOOST_TEST(has(text, "  input  9: vector 0x31, lowest priority, level to logical 0x3, active low, masked, high"));
}

BOOST_AUTO_TEST_CASE(the_local_apic) {
    InterruptState state;
    auto& registers = state.local.registers;
    state.local.base = 0xfee0'0900;
    registers[0x02] = 3u << 24;
    registers[0x0f] = 0x1ff;
    registers[0x21] = 1u << 16;  // requested: vector 0x30
    registers[0x17] = 1u << 15;  // in service: vector 0xef
    registers[0x32] = 0x200ec;
    registers[0x38] = 1000;
    registers[0x39] = 123;
    registers[0x3e] = 3;
    registers[0x35] = 0x10700;
    registers[0x36] = 0x400;
    const std::string text = describe_interrupts(state, 5);
    BOOST_TEST(has(text, "local APIC of vCPU 5: at 0xfee00000, xAPIC, enabled by software, ID 0x3, task priority 0x0"));
    BOOST_TEST(has(text, "  requested   0x30"));
    BOOST_TEST(has(text, "  in service  0xef"));
    BOOST_TEST(has(text, "  timer       vector 0xec, periodic, 123 of 1000 left, divided by 16"));
    BOOST_TEST(has(text, "  LINT0       vector 0x00, ExtINT, masked"));
    BOOST_TEST(has(text, "  LINT1       vector 0x00, NMI"));
    registers[0x3e] = 0xb;
    state.local.base = 0xfee0'0c00;
    registers[0x02] = 0x101;
    const std::string wide = describe_interrupts(state, 5);
    BOOST_TEST(wide.find("x2APIC, enabled by software, ID 0x101") != std::string::npos);
    BOOST_TEST(wide.find("divided by 1\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(any_state) {
    std::mt19937_64 random(1);
    for (int round = 0; round < 2'000; ++round) {
        InterruptState state;
        for (auto& entry : state.ioapic.redirection) entry = random();
        for (auto& one : state.local.registers) one = static_cast<std::uint32_t>(random());
        state.local.base = random();
        state.ioapic.irr = static_cast<std::uint32_t>(random());
        BOOST_REQUIRE(!describe_interrupts(state, 0).empty());
    }
}

BOOST_AUTO_TEST_SUITE_END()
