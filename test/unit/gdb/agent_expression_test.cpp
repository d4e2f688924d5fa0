#include "gdb/agent_expression.hpp"

#include <boost/test/unit_test.hpp>

#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>

using namespace asyncvm::gdb;

namespace {

/// Registers 0 to 3, and 16 bytes at 0x1000.
class Guest final : public AgentContext {
public:
    std::optional<std::uint64_t> reg(unsigned number) override {
        if (number > 3) return std::nullopt;
        return number == 2 ? ~std::uint64_t{0} : number + 100;
    }
    bool read(std::uint64_t address, std::span<std::byte> to) override {
        ++reads;
        if (address < 0x1000 || address > 0x1010 - to.size()) return false;
        for (auto& byte : to) byte = static_cast<std::byte>(0xf0 + (address++ & 0xf));
        return true;
    }
    [[nodiscard]] unsigned word_bits() const noexcept override { return 64; }
    unsigned reads = 0;
};

using Bytes = std::initializer_list<int>;

AgentExpression expression(Bytes bytes) {
    std::string code;
    for (const int byte : bytes) code += static_cast<char>(byte);
    return AgentExpression(code);
}

std::optional<std::uint64_t> value_of(Bytes bytes) {
    Guest guest;
    return expression(bytes).evaluate(guest);
}

/// const64, big-endian.
std::string constant(std::uint64_t value) {
    std::string code(1, '\x25');
    for (int shift = 56; shift >= 0; shift -= 8) code += static_cast<char>(value >> shift);
    return code;
}

std::optional<std::uint64_t> binary(std::uint64_t a, std::uint64_t b, int operation) {
    Guest guest;
    return AgentExpression(constant(a) + constant(b) + static_cast<char>(operation) + '\x27').evaluate(guest);
}

constexpr auto minus(std::int64_t value) { return static_cast<std::uint64_t>(-value); }

}  // namespace

BOOST_AUTO_TEST_SUITE(gdb_agent_expression)

BOOST_AUTO_TEST_CASE(constants_registers_and_memory) {
    BOOST_TEST(value_of({0x22, 0x85, 0x27}).value() == 0x85u);
    BOOST_TEST(value_of({0x23, 0x12, 0x34, 0x27}).value() == 0x1234u);
    BOOST_TEST(value_of({0x24, 0x12, 0x34, 0x56, 0x78, 0x27}).value() == 0x12345678u);
    BOOST_TEST(value_of({0x25, 1, 2, 3, 4, 5, 6, 7, 8, 0x27}).value() == 0x0102030405060708u);
    BOOST_TEST(value_of({0x26, 0, 3, 0x27}).value() == 103u);
    BOOST_TEST(value_of({0x23, 0x10, 0x02, 0x17, 0x27}).value() == 0xf2u);
    BOOST_TEST(value_of({0x23, 0x10, 0x02, 0x18, 0x27}).value() == 0xf3f2u);
    BOOST_TEST(value_of({0x23, 0x10, 0x02, 0x19, 0x27}).value() == 0xf5f4f3f2u);
    BOOST_TEST(value_of({0x23, 0x10, 0x02, 0x1a, 0x27}).value() == 0xf9f8f7f6f5f4f3f2u);
}

BOOST_AUTO_TEST_CASE(what_has_no_value) {
    BOOST_TEST(!value_of({0x26, 0, 4, 0x27}));              // no such register
    BOOST_TEST(!value_of({0x23, 0x10, 0x0d, 0x19, 0x27}));  // the last byte is not there
    BOOST_TEST(!value_of({0x22, 1, 0x22, 0, 0x05, 0x27}));  // divisions by zero
    BOOST_TEST(!value_of({0x22, 1, 0x22, 0, 0x06, 0x27}));
    BOOST_TEST(!value_of({0x22, 1, 0x22, 0, 0x07, 0x27}));
    BOOST_TEST(!value_of({0x22, 1, 0x22, 0, 0x08, 0x27}));
    BOOST_TEST(expression({0x21, 0, 0}).sound());
    BOOST_TEST(!value_of({0x21, 0, 0}));  // for ever
    BOOST_TEST(!value_of({0x22, 1, 0x20, 0, 0, 0x22, 1, 0x27}));
    BOOST_TEST(!value_of({0x22, 2, 0x20, 0, 0, 0x22, 1, 0x27}));  // 2 is as true as 1
}

BOOST_AUTO_TEST_CASE(arithmetic) {
    BOOST_TEST(binary(7, 9, 0x02).value() == 16u);
    BOOST_TEST(binary(7, 9, 0x03).value() == minus(2));
    BOOST_TEST(binary(7, 9, 0x04).value() == 63u);
    BOOST_TEST(binary(minus(7), 2, 0x05).value() == minus(3));
    BOOST_TEST(binary(minus(7), 2, 0x06).value() == minus(7) / 2);
    BOOST_TEST(binary(minus(7), 2, 0x07).value() == minus(1));
    BOOST_TEST(binary(minus(7), 2, 0x08).value() == 1u);
    constexpr auto smallest = std::uint64_t{1} << 63;
    BOOST_TEST(binary(smallest, minus(1), 0x05).value() == smallest);
    BOOST_TEST(binary(smallest, minus(1), 0x07).value() == 0u);
    BOOST_TEST(binary(3, 4, 0x09).value() == 48u);
    BOOST_TEST(binary(3, 64, 0x09).value() == 0u);
    BOOST_TEST(binary(minus(16), 2, 0x0a).value() == minus(4));
    BOOST_TEST(binary(minus(16), 64, 0x0a).value() == minus(1));
    BOOST_TEST(binary(minus(16), 1000, 0x0a).value() == minus(1));
    BOOST_TEST(binary(minus(16), 60, 0x0b).value() == 15u);
    BOOST_TEST(binary(minus(16), 64, 0x0b).value() == 0u);
    BOOST_TEST(binary(12, 10, 0x0f).value() == 8u);
    BOOST_TEST(binary(12, 10, 0x10).value() == 14u);
    BOOST_TEST(binary(12, 10, 0x11).value() == 6u);
    BOOST_TEST(binary(5, 5, 0x13).value() == 1u);
    BOOST_TEST(binary(5, 6, 0x13).value() == 0u);
    BOOST_TEST(binary(minus(1), 1, 0x14).value() == 1u);
    BOOST_TEST(binary(minus(1), 1, 0x15).value() == 0u);
    BOOST_TEST(value_of({0x22, 0, 0x0e, 0x27}).value() == 1u);
    BOOST_TEST(value_of({0x22, 5, 0x0e, 0x27}).value() == 0u);
    BOOST_TEST(value_of({0x22, 5, 0x12, 0x27}).value() == minus(6));
}

BOOST_AUTO_TEST_CASE(widths) {
    BOOST_TEST(value_of({0x22, 0x80, 0x16, 8, 0x27}).value() == minus(128));
    BOOST_TEST(value_of({0x22, 0x7f, 0x16, 8, 0x27}).value() == 127u);
    BOOST_TEST(value_of({0x22, 1, 0x16, 1, 0x27}).value() == minus(1));
    BOOST_TEST(value_of({0x26, 0, 2, 0x16, 64, 0x27}).value() == minus(1));
    BOOST_TEST(value_of({0x22, 0x80, 0x16, 200, 0x27}).value() == 0x80u);
    BOOST_TEST(value_of({0x26, 0, 2, 0x2a, 63, 0x27}).value() == ~std::uint64_t{0} >> 1);
    BOOST_TEST(value_of({0x26, 0, 2, 0x2a, 12, 0x27}).value() == 0xfffu);
    BOOST_TEST(value_of({0x26, 0, 2, 0x2a, 200, 0x27}).value() == minus(1));
    BOOST_TEST(!expression({0x22, 1, 0x16, 0, 0x27}).sound());
}

BOOST_AUTO_TEST_CASE(the_stack) {
    BOOST_TEST(value_of({0x22, 6, 0x28, 0x04, 0x27}).value() == 36u);                // dup
    BOOST_TEST(value_of({0x22, 6, 0x22, 5, 0x29, 0x27}).value() == 6u);              // pop
    BOOST_TEST(value_of({0x22, 6, 0x22, 5, 0x2b, 0x03, 0x27}).value() == minus(1));  // swap
    BOOST_TEST(value_of({0x22, 6, 0x22, 5, 0x32, 1, 0x27}).value() == 6u);           // pick
    // 1 2 3 becomes 3 1 2
    BOOST_TEST(value_of({0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x27}).value() == 2u);
    BOOST_TEST(value_of({0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x29, 0x27}).value() == 1u);
    BOOST_TEST(value_of({0x22, 1, 0x22, 2, 0x22, 3, 0x33, 0x29, 0x29, 0x27}).value() == 3u);
}

BOOST_AUTO_TEST_CASE(both_sides_of_an_if) {
    // reg 0 == N ? 7 : 9
    for (const int number : {100, 101}) {
        BOOST_TEST(value_of({0x26, 0, 0, 0x22, number, 0x13, 0x20, 0, 14, 0x22, 9, 0x21, 0, 16, 0x22, 7, 0x27}).value() ==
                   (number == 100 ? 7u : 9u));
    }
}

BOOST_AUTO_TEST_CASE(what_is_not_sound) {
    BOOST_TEST(!AgentExpression("").sound());
    BOOST_TEST(!expression({0x27}).sound());  // nothing on the stack
    BOOST_TEST(!expression({0x02, 0x27}).sound());
    BOOST_TEST(!expression({0x28, 0x27}).sound());
    BOOST_TEST(!expression({0x22, 1}).sound());  // no end
    BOOST_TEST(!expression({0x22}).sound());     // no operand
    BOOST_TEST(!expression({0x25, 1, 2, 3, 4, 5, 6, 7}).sound());
    BOOST_TEST(!expression({0x21, 0, 3}).sound());  // a jump to behind the end
    BOOST_TEST(!expression({0x21, 0xff, 0xff, 0x22, 1, 0x27}).sound());
    BOOST_TEST(!expression({0x22, 1, 0x32, 1, 0x27}).sound());              // too deep
    BOOST_TEST(!expression({0x22, 1, 0x21, 0, 0}).sound());                 // the stack grows from turn to turn
    BOOST_TEST(!expression({0x22, 1, 0x22, 1, 0x20, 0, 0, 0x27}).sound());  // and so does this one
    for (const int unknown : {0x00, 0x01, 0x0c, 0x0d, 0x1b, 0x1e, 0x2c, 0x2d, 0x2e, 0x30, 0x31, 0x34, 0x35, 0xff})
        BOOST_TEST(!expression({0x22, 1, unknown, 0, 0, 0x22, 1, 0x27}).sound());
    Guest guest;
    std::string deep;
    for (std::size_t i = 0; i < AgentExpression::deepest; ++i) deep += "\x22\x01";
    BOOST_TEST(AgentExpression(deep + "\x27").evaluate(guest).value() == 1u);
    BOOST_TEST(!AgentExpression(deep + "\x22\x01\x27").sound());
}

/// printf, with a format for its values, which come first; where and by which function it prints.
std::string printing(const std::string& values, std::string_view format, unsigned count, char channel = 0,
                     char function = 0) {
    std::string code = values + '\x22' + channel + '\x22' + function + '\x34' + static_cast<char>(count);
    code += static_cast<char>((format.size() + 1) >> 8);
    code += static_cast<char>(format.size() + 1);
    return code.append(format) + '\0';
}

/// What it prints, and why no more.
std::string output(const std::string& code) {
    const AgentExpression command(code, AgentExpression::Use::command);
    Guest guest;
    std::string text;
    const std::string problem = command.run(guest, text);
    return problem.empty() ? text : text + "<" + problem + ">";
}

BOOST_AUTO_TEST_CASE(what_a_command_prints) {
    // As gdb 13 sends it: dprintf *0x1000,"hi %d %s %lx %c\n",$reg0,*(char**)0x1000,...; the last value comes first.
    BOOST_TEST(output(printing("\x22\x07\x22\x05", "a %d b %d\\n", 2) + "\x27") == "a 5 b 7\n");
    BOOST_TEST(output(printing({"\x26\0\0", 3}, "%x", 1) + "\x27") == "64");
    BOOST_TEST(output(printing("", "text", 0) + "\x27") == "text");
    BOOST_TEST(output(printing("", "one,", 0) + printing("\x22\x02", "%d", 1) + "\x27") == "one,2");
    // One may leave values behind, and a condition may not print.
    BOOST_TEST(output("\x22\x01" + printing("", "x", 0) + "\x27") == "x");
    BOOST_TEST(output("\x27") == "");
    BOOST_TEST(!AgentExpression(printing("", "x", 0) + "\x22\x01\x27").sound());
}

BOOST_AUTO_TEST_CASE(what_a_command_can_t_print) {
    BOOST_TEST(output(printing({"\x26\0\4", 3}, "%x", 1) + "\x27") == "<register 4 has no value here, only for gdb>");
    BOOST_TEST(output(printing({"\x23\x20\0\x17", 4}, "%x", 1) + "\x27") == "<Cannot access memory at address 0x2000>");
    BOOST_TEST(output(printing({"\x22\1\x22\0\5", 5}, "%x", 1) + "\x27") == "<Division by zero>");
    BOOST_TEST(output(printing("", "x", 0, 1) + "\x27") == "<it is to be printed by a function of the guest>");
    BOOST_TEST(output(printing("", "x", 0, 0, 1) + "\x27") == "<it is to be printed by a function of the guest>");
    BOOST_TEST(output(printing("", "one,", 0) + printing({"\x26\0\4", 3}, "%x", 1) + "\x27") ==
               "one,<register 4 has no value here, only for gdb>");
    // Round and round.
    BOOST_TEST(output({"\x21\0\0", 3}) == "<it takes more than 10000 operations>");
    const std::string turns = output(printing("", std::string(1000, 'x'), 0) + std::string("\x21\0\0", 3));
    BOOST_TEST(turns.ends_with("<it is longer than 16384 bytes>"));
    BOOST_TEST(turns.size() < 18'000u);
}

BOOST_AUTO_TEST_CASE(commands_that_are_not_sound) {
    const auto refused = [](const std::string& code) {
        return !AgentExpression(code, AgentExpression::Use::command).sound() && output(code).starts_with("<");
    };
    BOOST_TEST(refused(""));
    BOOST_TEST(refused("\x34"));
    BOOST_TEST(refused(printing("", "%d", 1) + "\x27"));  // no value on the stack
    BOOST_TEST(refused(printing("\x22\x01", "%d %d", 1) + "\x27"));
    BOOST_TEST(refused(printing("\x22\x01", "%f", 1) + "\x27"));
    BOOST_TEST(refused(printing("", "x", 0)));  // no end
    const std::string whole = printing("\x22\x01", "%d", 1) + "\x27";
    for (std::size_t size = 0; size < whole.size(); ++size) BOOST_TEST(refused(whole.substr(0, size)));
    std::string no_nul = printing("", "x", 0) + "\x27";
    no_nul[no_nul.size() - 2] = 'y';
    BOOST_TEST(refused(no_nul));
    BOOST_TEST(refused(std::string("\x22\0\x22\0\x34\0\0\0\x27", 9)));  // not even a NUL
    BOOST_TEST(refused("\x1b\x27"));
}

BOOST_AUTO_TEST_CASE(any_bytes) {
    std::mt19937_64 random(7);
    constexpr std::uint8_t usual[] = {0x02, 0x04, 0x05, 0x09, 0x0e, 0x13, 0x14, 0x16, 0x17, 0x1a, 0x20, 0x21,
                                      0x22, 0x23, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x32, 0x33, 0x34};
    unsigned sound = 0;
    unsigned ended = 0;
    for (int turn = 0; turn < 200'000; ++turn) {
        std::string code;
        for (auto left = 1 + random() % 24; left > 0; --left) {
            const bool small = random() % 2 == 0;
            code += static_cast<char>(small ? random() % 24 : usual[random() % std::size(usual)]);
        }
        if (random() % 2 == 0) code += '\x27';
        const AgentExpression made(code);
        Guest guest;
        const auto value = made.evaluate(guest);
        std::string printed;
        static_cast<void>(AgentExpression(code, AgentExpression::Use::command).run(guest, printed));
        sound += made.sound() ? 1 : 0;
        ended += value ? 1 : 0;
        BOOST_REQUIRE(made.sound() || !value);
        BOOST_REQUIRE(guest.reads <= 2 * AgentExpression::most_steps);
    }
    // Spoilt dprintfs.
    unsigned printing_ones = 0;
    for (int turn = 0; turn < 50'000; ++turn) {
        std::string code = printing("\x22\x07\x23\x10\x02", "a %d %s\\n", 2) + "\x27";
        for (auto times = random() % 3; times > 0; --times) code[random() % code.size()] = static_cast<char>(random());
        if (random() % 4 == 0) code.resize(random() % code.size());
        Guest guest;
        std::string printed;
        static_cast<void>(AgentExpression(code, AgentExpression::Use::command).run(guest, printed));
        printing_ones += printed.empty() ? 0 : 1;
        BOOST_REQUIRE(printed.size() < 2 * AgentExpression::longest_output);
    }
    BOOST_TEST(printing_ones > 10'000u);
    BOOST_TEST(sound > 500u);
    BOOST_TEST(ended > 200u);
}

BOOST_AUTO_TEST_SUITE_END()
