#include "gdb/breakpoints.hpp"

#include <boost/test/unit_test.hpp>

#include <optional>
#include <string>
#include <utility>

using namespace asyncvm::gdb;
using Type = Breakpoints::Type;
using Means = Breakpoints::Means;

namespace {

/// Registers that are their numbers, and no memory.
class Numbers final : public AgentContext {
public:
    std::optional<std::uint64_t> reg(unsigned number) override { return number; }
    bool read(std::uint64_t, std::span<std::byte>) override { return false; }
    [[nodiscard]] unsigned word_bits() const noexcept override { return 64; }
};

/// What commands at 0x1000 print, and "stop" if the guest stops.
std::string come_to(const Breakpoints& points, std::uint64_t address = 0x1000) {
    Numbers numbers;
    std::string printed;
    const bool stops = points.come_to(address, numbers, printed);
    return printed + (stops ? "stop" : "");
}

/// Prints one character.
AgentExpression prints(char character) {
    return AgentExpression(std::string("\x22\0\x22\0\x34\0\0\2", 8) + character + std::string("\0\x27", 2),
                           AgentExpression::Use::command);
}

}  // namespace

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

BOOST_AUTO_TEST_CASE(conditions) {
    const AgentExpression holds(std::string("\x22\x01\x27"));
    const AgentExpression does_not(std::string("\x22\x00\x27", 3));
    const AgentExpression fails(std::string("\x22\x00\x17\x27", 4));
    const AgentExpression not_sound(std::string("\x27"));
    Breakpoints points({.int3 = true});
    const auto stops = [&](Breakpoints::Conditions conditions) {
        BOOST_TEST((points.add(Type::software, 0x1000, 1, 0x1000, std::move(conditions)) == Means::int3));
        return come_to(points) == "stop";
    };
    BOOST_TEST(stops({}));
    BOOST_TEST(stops({holds}));
    BOOST_TEST(!stops({does_not}));
    BOOST_TEST(!stops({does_not, does_not}));
    BOOST_TEST(stops({does_not, holds}));
    BOOST_TEST(stops({fails}));
    BOOST_TEST(stops({does_not, not_sound}));
    BOOST_TEST(!stops({does_not}));
    BOOST_TEST(points.all().size() == 1u);
    BOOST_TEST(!(come_to(points, 0x1001) == "stop"));
    // Another breakpoint at the same address, of which one is enough.
    BOOST_TEST((points.add(Type::hardware, 0x1000, 1, 0x1000) == std::nullopt));
    points.set_features({.debug_registers = true, .int3 = true});
    BOOST_TEST((points.add(Type::hardware, 0x1000, 1, 0x1000, {does_not}) == Means::debug_register));
    BOOST_TEST(!(come_to(points) == "stop"));
    BOOST_TEST((points.add(Type::hardware, 0x1000, 1, 0x1000) == Means::debug_register));
    BOOST_TEST((come_to(points) == "stop"));
}

BOOST_AUTO_TEST_CASE(with_several_vcpus_conditions_want_a_register) {
    const AgentExpression condition(std::string("\x22\x01\x27"));
    const DebugFeatures features{.debug_registers = true, .int3 = true};
    Breakpoints one(features);
    BOOST_TEST((one.add(Type::software, 0x1000, 1, 0x1000, {condition}) == Means::int3));
    Breakpoints several(features, true);
    BOOST_TEST((several.add(Type::software, 0x9000, 1, 0x9000) == Means::int3));
    for (std::uint64_t i = 0; i < 4; ++i)
        BOOST_TEST((several.add(Type::software, i, 1, i, {condition}) == Means::debug_register));
    BOOST_TEST((several.add(Type::software, 0x5000, 1, 0x5000, {condition}) == Means::int3));
    Breakpoints without({.int3 = true}, true);
    BOOST_TEST((without.add(Type::software, 0x1000, 1, 0x1000, {condition}) == Means::int3));
}

BOOST_AUTO_TEST_CASE(commands) {
    const AgentExpression holds(std::string("\x22\x01\x27"));
    const AgentExpression does_not(std::string("\x22\x00\x27", 3));
    const AgentExpression fails(std::string("\x22\x00\x17\x27", 4));
    Breakpoints points({.debug_registers = true, .int3 = true});
    const auto comes = [&](Breakpoints::Conditions conditions, Breakpoints::Commands commands) {
        BOOST_TEST(
            (points.add(Type::software, 0x1000, 1, 0x1000, std::move(conditions), std::move(commands)) == Means::int3));
        return come_to(points);
    };
    BOOST_TEST(comes({}, {{prints('a')}}) == "a");
    BOOST_TEST(points.prints_at(0x1000));
    BOOST_TEST(!points.prints_at(0x1001));
    BOOST_TEST(comes({}, {{prints('a'), prints('b')}}) == "ab");
    BOOST_TEST(comes({does_not}, {{prints('a')}}) == "");
    BOOST_TEST(comes({holds}, {{prints('a')}}) == "a");
    // One condition a command, or all commands for any of them.
    BOOST_TEST(comes({holds, does_not}, {{prints('a'), prints('b')}}) == "a");
    BOOST_TEST(comes({does_not, holds}, {{prints('a'), prints('b')}}) == "b");
    BOOST_TEST(comes({does_not, holds}, {{prints('a')}}) == "a");
    BOOST_TEST(comes({does_not, does_not}, {{prints('a')}}) == "");
    BOOST_TEST(comes({holds}, {{prints('a'), prints('b')}}) == "ab");
    // What is wrong is told, and the guest goes on: gdb could not print it either.
    BOOST_TEST(comes({fails}, {{prints('a')}}) ==
               "<dprintf at 0x1000: its condition: Cannot access memory at address 0x0>\n");
    BOOST_TEST(comes({}, {{fails, prints('a')}}) == "<dprintf at 0x1000: Cannot access memory at address 0x0>\na");
    const AgentExpression not_sound(std::string("\x34"), AgentExpression::Use::command);
    BOOST_TEST(comes({}, {{not_sound}}) == "<dprintf at 0x1000: a printf is cut off>\n");
    // A breakpoint at the same address stops.
    BOOST_TEST((points.add(Type::hardware, 0x1000, 1, 0x1000) == Means::debug_register));
    BOOST_TEST(comes({}, {{prints('a')}}) == "astop");
    BOOST_TEST((points.add(Type::hardware, 0x1000, 1, 0x1000, {does_not}, {{prints('c')}}) == Means::debug_register));
    BOOST_TEST(come_to(points) == "a");
    BOOST_TEST(comes({}, {}) == "stop");
}

BOOST_AUTO_TEST_CASE(commands_that_persist) {
    Breakpoints points({.debug_registers = true, .int3 = true});
    BOOST_TEST((points.add(Type::software, 0x1000, 1, 0x1000, {}, {{prints('a')}, true}) == Means::int3));
    BOOST_TEST((points.add(Type::software, 0x2000, 1, 0x2000, {}, {{prints('a')}, false}) == Means::int3));
    BOOST_TEST((points.add(Type::software, 0x3000, 1, 0x3000) == Means::int3));
    points.remove_transient();
    BOOST_REQUIRE(points.all().size() == 1u);
    BOOST_TEST(points.all()[0].address == 0x1000u);
}

BOOST_AUTO_TEST_CASE(with_several_vcpus_commands_never_want_an_int3) {
    const Breakpoints::Commands commands{{prints('a')}};
    Breakpoints points({.steps = true, .debug_registers = true, .int3 = true}, true);
    // One that was for gdb, and is not any more.
    BOOST_TEST((points.add(Type::software, 0, 1, 0) == Means::int3));
    for (std::uint64_t i = 0; i < 4; ++i)
        BOOST_TEST((points.add(Type::software, i, 1, i, {}, commands) == Means::debug_register));
    BOOST_TEST((points.add(Type::software, 0x5000, 1, 0x5000, {}, commands) == Means::steps));
    BOOST_TEST(points.all().size() == 5u);
    Breakpoints one({.steps = true, .debug_registers = true, .int3 = true});
    BOOST_TEST((one.add(Type::software, 0x1000, 1, 0x1000, {}, commands) == Means::int3));
    Breakpoints without({.int3 = true}, true);
    BOOST_TEST((!without.add(Type::software, 0x1000, 1, 0x1000, {}, commands)));
}

BOOST_AUTO_TEST_CASE(what_is_watched_is_no_breakpoint_of_that_address) {
    const AgentExpression does_not(std::string("\x22\x00\x27", 3));
    Breakpoints points({.debug_registers = true, .watchpoints = true});
    BOOST_TEST((points.add(Type::write, 0x1000, 4, {}) == Means::debug_register));
    BOOST_TEST((points.at(0x1000, Means::debug_register) == nullptr));
    BOOST_TEST((points.add(Type::hardware, 0x1000, 1, {}, {does_not}) == Means::debug_register));
    BOOST_TEST((points.at(0x1000, Means::debug_register)->type == Type::hardware));
    BOOST_TEST(come_to(points) == "");
}

// For gdb it is the kind of the instruction, which a stub need not know.
BOOST_AUTO_TEST_CASE(a_breakpoint_has_no_length) {
    Breakpoints points({.debug_registers = true, .int3 = true});
    for (const Type type : {Type::software, Type::hardware}) {
        BOOST_TEST(points.add(type, 0x1000, 4, 0x1000).has_value());
        BOOST_TEST(points.add(type, 0x1000, 0, 0x1000).has_value());
        BOOST_TEST(points.all().size() == 1u);
        points.remove(type, 0x1000, 2);
        BOOST_TEST(points.all().empty());
    }
}

BOOST_AUTO_TEST_CASE(a_step_over_an_address) {
    Breakpoints points({.debug_registers = true, .watchpoints = true});
    BOOST_TEST((points.add(Type::software, 0x1000, 1, {}) == Means::debug_register));
    BOOST_TEST((points.add(Type::hardware, 0x2000, 1, {}) == Means::debug_register));
    BOOST_TEST((points.add(Type::hardware, 0x1000, 1, {}) == Means::debug_register));
    BOOST_TEST((points.add(Type::write, 0x1000, 4, {}) == Means::debug_register));
    const auto over = points.debug_over(0x1000);
    BOOST_TEST(over.single_step);
    BOOST_TEST(over.block_interrupts);
    BOOST_TEST((over.dr7 & 0xff) == 0b1000'1000u);  // 0x2000, and what is watched
    BOOST_TEST(!points.debug().single_step);
    BOOST_TEST((points.debug().dr7 & 0xff) == 0b1010'1010u);
}

BOOST_AUTO_TEST_SUITE_END()
