#include "gdb/agent_format.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <initializer_list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace asyncvm::gdb;

namespace {

/// "text" at 0x1000, and nothing behind 0x10ff, whose bytes are 'x'.
class TextGuest final : public AgentContext {
public:
    explicit TextGuest(unsigned bits = 64) : bits_(bits) {}
    std::optional<std::uint64_t> reg(unsigned) override { return std::nullopt; }
    bool read(std::uint64_t address, std::span<std::byte> to) override {
        reads += to.size();
        if (address < 0x1000 || address + to.size() > 0x1100) return false;
        for (std::byte& byte : to) {
            const std::size_t at = address++ - 0x1000;
            byte = static_cast<std::byte>(at < 5 ? "text"[at] : 'x');
        }
        return true;
    }
    [[nodiscard]] unsigned word_bits() const noexcept override { return bits_; }
    std::size_t reads = 0;

private:
    unsigned bits_;
};

std::string print(std::string_view typed, std::vector<std::uint64_t> values = {}, unsigned bits = 64) {
    const AgentFormat format(typed);
    BOOST_REQUIRE_MESSAGE(format.flaw().empty(), typed << ": " << format.flaw());
    BOOST_REQUIRE(format.count() == values.size());
    TextGuest guest(bits);
    std::string text;
    format.print(values, guest, text);
    return text;
}

std::string flaw(std::string_view typed) { return AgentFormat(typed).flaw(); }

constexpr std::uint64_t all_ones = ~std::uint64_t{0};

}  // namespace

BOOST_AUTO_TEST_SUITE(gdb_agent_format)

BOOST_AUTO_TEST_CASE(plain_text_and_escapes) {
    BOOST_TEST(print("") == "");
    BOOST_TEST(print("a b") == "a b");
    BOOST_TEST(print("100%%") == "100%");
    BOOST_TEST(print(R"(\\\a\b\e\f\n\r\t\v\")") == "\\\a\b\x1b\f\n\r\t\v\"");
    for (const char* const wrong : {"\\", "\\x", "\\0", "\\101", "\\'", "a\\\n"}) BOOST_TEST(!flaw(wrong).empty(), wrong);
    BOOST_TEST(!flaw(std::string_view("a\0b", 3)).empty());
}

BOOST_AUTO_TEST_CASE(lengths) {
    constexpr std::uint64_t value = 0xffff'fffe'8765'8321;
    BOOST_TEST(print("%d", {value}) == "-2023390431");
    BOOST_TEST(print("%x", {value}) == "87658321");
    BOOST_TEST(print("%hd", {value}) == "-31967");
    BOOST_TEST(print("%hx", {value}) == "8321");
    BOOST_TEST(print("%ld", {value}) == "-6318357727");
    BOOST_TEST(print("%lx", {value}) == "fffffffe87658321");
    BOOST_TEST(print("%zu", {value}) == "18446744067391193889");
    // A long has 32 bits there, and a long long has 64.
    BOOST_TEST(print("%ld", {value}, 32) == "-2023390431");
    BOOST_TEST(print("%zx", {value}, 32) == "87658321");
    BOOST_TEST(print("%llx", {value}, 32) == "fffffffe87658321");
    BOOST_TEST(print("%d %u", {all_ones, all_ones}) == "-1 4294967295");
    BOOST_TEST(print("%lld", {std::uint64_t{1} << 63}) == "-9223372036854775808");
}

BOOST_AUTO_TEST_CASE(integers_are_as_c_prints_them) {
    std::mt19937_64 random(3);
    constexpr std::string_view letters = "diuoxX";
    for (int turn = 0; turn < 20'000; ++turn) {
        const char letter = letters[random() % letters.size()];
        const bool sign = letter == 'd' || letter == 'i';
        std::string spec = "%";
        for (auto flags = random() % 4; flags > 0; --flags) {
            const char flag = "-0+ #"[random() % 5];
            if (flag == '#' && (letter == 'u' || sign)) continue;
            if (!sign && (flag == '+' || flag == ' ')) continue;
            spec += flag;
        }
        if (random() % 2 == 0) spec += std::to_string(1 + random() % 30);
        if (random() % 3 == 0) spec += "." + std::to_string(random() % 25);
        const std::uint64_t value = random() % 4 == 0 ? random() % 3 : random() >> (random() % 64);
        std::array<char, 100> expected{};
        const std::string in_c = spec + "ll" + letter;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        std::snprintf(expected.data(), expected.size(), in_c.c_str(), value);
#pragma GCC diagnostic pop
        BOOST_REQUIRE_EQUAL(print(in_c, {value}), expected.data());
    }
}

BOOST_AUTO_TEST_CASE(characters_and_pointers) {
    BOOST_TEST(print("%c%3c|%-3c|", {'a', 'b', 'c'}) == "a  b|c  |");
    BOOST_TEST(print("%c", {0}) == std::string_view("\0", 1));
    BOOST_TEST(print("%c", {0x141}) == "A");
    BOOST_TEST(print("%lc%lc%lc%lc", {0x41, 0xe4, 0x20ac, 0x1f600}) == "A\u00e4\u20ac\U0001f600");
    BOOST_TEST(print("%lc", {all_ones}) == "\U0010ffff");
    BOOST_TEST(print("%p %p", {0x1234, 0}) == "0x1234 (nil)");
    BOOST_TEST(print("%8p|%-8p|", {0x12, 0x12}) == "    0x12|0x12    |");
    BOOST_TEST(print("%p", {0xffff'ffff'8000'0000}) == "0xffffffff80000000");
    BOOST_TEST(print("%p", {0xffff'ffff'8000'0000}, 32) == "0x80000000");
}

BOOST_AUTO_TEST_CASE(texts) {
    BOOST_TEST(print("<%s>", {0x1000}) == "<text>");
    BOOST_TEST(print("<%6s|%-6s|%.2s>", {0x1000, 0x1001, 0x1000}) == "<  text|ext   |te>");
    BOOST_TEST(print("%s", {0x1004}) == "");
    BOOST_TEST(print("%s", {0}) == "(null)");
    BOOST_TEST(print("%s", {0xffff'ffff'0000'1000}, 32) == "text");
    BOOST_TEST(print("%s", {0x2000}) == "<error: Cannot access memory at address 0x2000>");
    BOOST_TEST(print("%s", {0x10fe}) == "xx<error: Cannot access memory at address 0x1100>");
    BOOST_TEST(print("%.2s", {0x10fe}) == "xx");
}

BOOST_AUTO_TEST_CASE(a_text_without_an_end) {
    class Endless final : public AgentContext {
        std::optional<std::uint64_t> reg(unsigned) override { return std::nullopt; }
        bool read(std::uint64_t, std::span<std::byte> to) override {
            std::ranges::fill(to, std::byte{'y'});
            return true;
        }
        [[nodiscard]] unsigned word_bits() const noexcept override { return 64; }
    } guest;
    std::string text;
    const std::uint64_t address = 0x1000;
    AgentFormat("%s").print(std::span(&address, 1), guest, text);
    BOOST_TEST(text == std::string(AgentFormat::longest_text, 'y') + "...");
}

BOOST_AUTO_TEST_CASE(what_is_refused) {
    for (const char* const typed : {"%f", "%e", "%Lg", "%5.2f"}) BOOST_TEST(flaw(typed).ends_with("has no bytecode"), typed);
    BOOST_TEST(flaw("a %5.2f") == "%5.2f is floating point, which has no bytecode");
    for (const char* const typed :
         {"%",   "%5",   "%l",  "%n",  "%*d", "%.*d", "%hhd", "%jd",   "%td",    "%q",      "%\x01",
          "%Ld", "%#u",  "%+x", "% o", "%0c", "%.1c", "%+c",  "%hc",   "%llc",   "%0p",     "%#p",
          "%lp", "%.1p", "%0s", "%+s", "%hs", "%zs",  "%ls",  "%I64d", "%1001d", "%.1001d", "%99999999999999999999d",
          "%Hf", "%DDf", "%'d", "%a",  "%m"}) {
        BOOST_TEST(!flaw(typed).empty(), typed);
        BOOST_TEST(AgentFormat(typed).count() == 0u);
    }
    BOOST_TEST(flaw("%1000d").empty());
    BOOST_TEST(flaw("%\x01") == "%\\x01 is no conversion that gdb knows");
}

BOOST_AUTO_TEST_CASE(any_bytes) {
    std::mt19937_64 random(11);
    constexpr std::string_view usual = "%%%%dxcsplzhu0123.-# +\\nab";
    unsigned right = 0;
    for (int turn = 0; turn < 100'000; ++turn) {
        std::string typed;
        for (auto left = random() % 20; left > 0; --left)
            typed += random() % 8 == 0 ? static_cast<char>(random()) : usual[random() % usual.size()];
        const AgentFormat format(typed);
        if (!format.flaw().empty()) continue;
        ++right;
        std::vector<std::uint64_t> values(format.count());
        for (auto& value : values) value = random() % 2 == 0 ? 0x1000 + random() % 0x120 : random();
        TextGuest guest;
        std::string text;
        format.print(values, guest, text);
        BOOST_REQUIRE(text.size() <= typed.size() + values.size() * (AgentFormat::widest + 100));
        BOOST_REQUIRE(guest.reads <= values.size() * AgentFormat::longest_text);
    }
    BOOST_TEST(right > 10'000u);
}

BOOST_AUTO_TEST_SUITE_END()
