#include "gdb/breakpoints.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm::gdb;
using Type = Breakpoints::Type;
using Means = Breakpoints::Means;

BOOST_AUTO_TEST_SUITE(gdb_breakpoints)

BOOST_AUTO_TEST_CASE(a_host_that_has_everything) {
    Breakpoints points({.steps = true, .debug_registers = true, .watchpoints = true, .int3 = true});
    BOOST_TEST((points.add(Type::software, 0x1000, 1, 0x5000) == Means::int3));
    BOOST_TEST((points.add(Type::hardware, 0x2000, 1, {}) == Means::debug_register));
    BOOST_TEST((points.add(Type::write, 0x3000, 4, {}) == Means::debug_register));
    BOOST_TEST((points.add(Type::access, 0x4000, 8, {}) == Means::debug_register));
    BOOST_TEST((!points.add(Type::read, 0x4000, 8, {})));
    BOOST_TEST(points.at(0x1000, Means::int3)->physical == 0x5000u);
    const auto debug = points.debug();
    BOOST_TEST(debug.software_breakpoints);
    BOOST_TEST(!debug.single_step);
    BOOST_TEST(debug.breakpoints[0] == 0x2000u);
    BOOST_TEST(debug.breakpoints[1] == 0x3000u);
    // Execution; writes of 4 bytes; accesses of 8 bytes.
    BOOST_TEST(debug.dr7 == (0x2au | 0b1101u << 20 | 0b1011u << 24));
}

BOOST_AUTO_TEST_CASE(the_fallbacks) {
    Breakpoints points({.steps = true, .debug_registers = true});
    for (std::uint64_t i = 0; i < 4; ++i) BOOST_TEST((points.add(Type::software, i, 1, i) == Means::debug_register));
    BOOST_TEST(!points.need_steps());
    BOOST_TEST((points.add(Type::hardware, 5, 1, {}) == Means::steps));
    BOOST_TEST(points.need_steps());
    BOOST_TEST(points.debug().single_step);
    BOOST_TEST((points.add(Type::write, 0x100, 3, 0x100) == Means::steps));
    BOOST_TEST((!points.add(Type::write, 0x200, 4, {})));
    BOOST_TEST((!points.add(Type::access, 0x100, 4, 0x100)));
    points.remove(Type::hardware, 5, 1);
    points.remove(Type::write, 0x100, 3);
    BOOST_TEST(!points.need_steps());
    Breakpoints nothing;
    BOOST_TEST((!nothing.add(Type::software, 1, 1, 1)));
}

BOOST_AUTO_TEST_CASE(an_address_that_is_not_mapped_gets_a_debug_register) {
    Breakpoints points({.steps = true, .debug_registers = true, .int3 = true});
    BOOST_TEST((points.add(Type::software, 0xffff'ffff'8000'0000, 1, {}) == Means::debug_register));
}

BOOST_AUTO_TEST_CASE(a_slot_is_used_again) {
    Breakpoints points({.debug_registers = true});
    for (std::uint64_t i = 0; i < 4; ++i) BOOST_TEST((points.add(Type::hardware, i, 1, {}) == Means::debug_register));
    BOOST_TEST((!points.add(Type::hardware, 9, 1, {})));
    points.remove(Type::hardware, 2, 1);
    BOOST_TEST((points.add(Type::hardware, 9, 1, {}) == Means::debug_register));
    BOOST_TEST(points.in_slot(2)->address == 9u);
}

BOOST_AUTO_TEST_CASE(one_that_is_there_stays_as_it_is) {
    Breakpoints points({.debug_registers = true});
    for (int i = 0; i < 9; ++i) BOOST_TEST((points.add(Type::hardware, 1, 1, {}) == Means::debug_register));
    BOOST_TEST(points.all().size() == 1u);
}

BOOST_AUTO_TEST_CASE(what_a_register_can_t_watch_is_watched_step_by_step) {
    Breakpoints points({.steps = true, .debug_registers = true, .watchpoints = true});
    BOOST_TEST((points.add(Type::write, 0x1001, 4, 0x1001) == Means::steps));
    BOOST_TEST((points.add(Type::write, 0x1000, 16, 0x1000) == Means::steps));
    BOOST_TEST((!points.add(Type::write, 0x1000, 1 << 20, 0x1000)));
    BOOST_TEST((!points.add(Type::write, 0x1000, 0, 0x1000)));
}

BOOST_AUTO_TEST_SUITE_END()
