#define BOOST_TEST_MODULE pci
#include "pci/config_space.hpp"

#include <asyncvm/state.hpp>

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

using namespace asyncvm;
using asyncvm::pci::ConfigSpace;

namespace {

ConfigSpace some_function() {
    ConfigSpace space({.vendor = 0x1af4,
                       .device = 0x1042,
                       .revision = 1,
                       .class_code = 0x01'0000,
                       .subsystem_vendor = 0x1af4,
                       .subsystem = 0x1100});
    space.add_memory_bar(0, 0x8000);
    space.add_interrupt(11);
    return space;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(config_space)

BOOST_AUTO_TEST_CASE(says_who_the_function_is_and_does_not_change_it) {
    ConfigSpace space = some_function();
    for (unsigned offset = 0; offset < ConfigSpace::first_bar; offset += 4) {
        if (offset != ConfigSpace::command) space.write(offset, 4, 0xffff'ffff);
    }
    BOOST_TEST(space.read(0x00, 4) == 0x1042'1af4u);
    BOOST_TEST(space.read(0x08, 4) == 0x0100'0001u);
    BOOST_TEST(space.read(0x0a, 2) == 0x0100u);
    BOOST_TEST(space.read(0x0e, 1) == 0u);  // one function, an ordinary header
    BOOST_TEST(space.read(0x2c, 4) == 0x1100'1af4u);
    BOOST_TEST(space.read(0x3d, 1) == 1u);
    space.write(0x3c, 4, 0xffff'ff05);
    BOOST_TEST(space.read(0x3c, 4) == 0x0105u);
}

BOOST_AUTO_TEST_CASE(tells_how_large_a_bar_is) {
    ConfigSpace space = some_function();
    space.write(0x10, 4, 0xffff'ffff);
    BOOST_TEST(space.read(0x10, 4) == 0xffff'8000u);
    space.write(0x14, 4, 0xffff'ffff);
    BOOST_TEST(space.read(0x14, 4) == 0u);  // there is none
    space.write(0x30, 4, 0xffff'f800);
    BOOST_TEST(space.read(0x30, 4) == 0u);  // no ROM
}

BOOST_AUTO_TEST_CASE(a_bar_answers_only_while_memory_is_decoded) {
    ConfigSpace space = some_function();
    BOOST_TEST(!space.bar(0));
    space.write(0x10, 4, 0xfe00'1234);
    space.write(ConfigSpace::command, 2, 0x0006);
    BOOST_TEST((space.bar(0) == std::optional<std::uint64_t>(0xfe00'0000)));
    BOOST_TEST(!space.bar(1));
    space.write(0x12, 2, 0xd000);  // in parts
    BOOST_TEST((space.bar(0) == std::optional<std::uint64_t>(0xd000'0000)));
    space.write(ConfigSpace::command, 1, 0x04);
    BOOST_TEST(!space.bar(0));
}

BOOST_AUTO_TEST_CASE(keeps_of_the_command_register_what_the_function_can_do) {
    ConfigSpace space = some_function();
    space.write(ConfigSpace::command, 4, 0xffff'ffff);
    BOOST_TEST(space.read(ConfigSpace::command, 2) == 0x0406u);
    BOOST_TEST(space.read(ConfigSpace::status, 2) == 0u);
    BOOST_TEST(space.interrupts_disabled());
    space.show_interrupt(true);
    BOOST_TEST(space.read(ConfigSpace::status, 2) == 0x0008u);
    space.show_interrupt(false);
    BOOST_TEST(space.read(ConfigSpace::status, 2) == 0u);
}

BOOST_AUTO_TEST_CASE(capabilities_are_a_list) {
    ConfigSpace space = some_function();
    BOOST_TEST(space.read(ConfigSpace::capabilities_pointer, 1) == 0u);
    constexpr std::array body{std::byte{1}, std::byte{2}, std::byte{3}};
    constexpr std::array writable{std::byte{0}, std::byte{0xf0}};
    const unsigned first = space.add_capability(0x11, body, writable);
    const unsigned second = space.add_capability(0x09, body);
    BOOST_TEST(space.read(ConfigSpace::status, 2) == 0x0010u);
    BOOST_TEST(space.read(ConfigSpace::capabilities_pointer, 1) == first);
    BOOST_TEST(first == 0x40u);
    BOOST_TEST(second == 0x48u);
    BOOST_TEST(space.read(first, 4) == 0x0201'4811u);
    BOOST_TEST(space.read(second, 4) == 0x0201'0009u);
    space.write(first, 4, 0xffff'ffff);
    BOOST_TEST(space.read(first, 4) == 0xf201'4811u);
    BOOST_TEST(space.read(first + 4, 1) == 3u);
}

BOOST_AUTO_TEST_CASE(whatever_is_written_only_writable_bits_change) {
    std::minstd_rand random(7);
    ConfigSpace space = some_function();
    constexpr std::array body{std::byte{0}, std::byte{0}};
    constexpr std::array writable{std::byte{0}, std::byte{0xc0}};
    static_cast<void>(space.add_capability(0x11, body, writable));
    ConfigSpace all = space;
    for (unsigned offset = 0; offset < ConfigSpace::size; offset += 4) all.write(offset, 4, 0xffff'ffff);
    for (int step = 0; step < 20'000; ++step) {
        const unsigned bytes = 1u << random() % 3;
        const unsigned offset = static_cast<unsigned>(random()) % (ConfigSpace::size / bytes) * bytes;
        space.write(offset, bytes, static_cast<std::uint32_t>(random()) * 3);
        BOOST_REQUIRE((space.read(offset, bytes) & ~all.read(offset, bytes)) == 0u);
    }
    for (unsigned offset = 0; offset < ConfigSpace::size; offset += 4) space.write(offset, 4, 0);
    const ConfigSpace fresh = some_function();
    BOOST_TEST(space.read(0, 4) == fresh.read(0, 4));
    BOOST_TEST(space.read(ConfigSpace::status, 2) == 0x0010u);
}

BOOST_AUTO_TEST_CASE(a_saved_state_cannot_change_what_the_guest_cannot) {
    ConfigSpace space = some_function();
    space.write(0x10, 4, 0xfe00'0000);
    space.write(ConfigSpace::command, 2, 0x0002);
    space.set(0x00, 4, 0x1234'5678);  // as a damaged file would have it
    StateWriter writer;
    save_state(writer, "function", space);
    ConfigSpace restored = some_function();
    StateReader reader(writer.bytes());
    restore_state(reader, "function", restored);
    restored.adopt(some_function());
    BOOST_TEST(restored.read(0x00, 4) == 0x1042'1af4u);
    BOOST_TEST((restored.bar(0) == std::optional<std::uint64_t>(0xfe00'0000)));
}

BOOST_AUTO_TEST_SUITE_END()
