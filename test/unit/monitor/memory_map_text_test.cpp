#include "monitor/memory_map_text.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <string>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::monitor;

BOOST_AUTO_TEST_CASE(what_lies_where_is_told_by_address) {
    const GuestMemory memory(std::uint64_t{16} << 20);
    const std::string ram = "0x0000000000000000-0x0000000000ffffff  ram\n";
    BOOST_TEST(memory_map_text(memory, {}, {}) == ram);
    InterruptState interrupts;
    interrupts.local.base = 0xfee0'0900;
    const std::vector<AttachedRange> devices{{{0xfef0'0000, 0x200}, "virtio-net"}, {{0xb8000, 0xfa0}, "screen"}};
    const auto text = memory_map_text(memory, devices, interrupts);
    BOOST_TEST(text == ram +
                           "0x00000000000b8000-0x00000000000b8f9f  screen\n"
                           "0x00000000fec00000-0x00000000fec00fff  IOAPIC (of the accelerator)\n"
                           "0x00000000fee00000-0x00000000fee00fff  local APIC (of the accelerator)\n"
                           "0x00000000fef00000-0x00000000fef001ff  virtio-net\n");
}

BOOST_AUTO_TEST_CASE(two_things_at_one_address_are_both_told) {
    const GuestMemory memory(std::uint64_t{16} << 20);
    const auto text = memory_map_text(memory, {{{0, 0x1000}, "counter"}}, {});
    BOOST_TEST(text.find("  ram\n") != text.npos);
    BOOST_TEST(text.find("  counter\n") != text.npos);
}
