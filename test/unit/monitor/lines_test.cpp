#include "monitor/human_error.hpp"
#include "monitor/memory_text.hpp"
#include "monitor/expression.hpp"
#include "monitor/registers_text.hpp"

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::monitor;

namespace {

Registers long_mode() {
    Registers r;
    r.rax = 0x1'1234'5678;
    r.r10 = 0xfeed;
    r.rip = 0xffff'ffff'8100'0000;
    r.rsp = 0xffff'ffff'82a0'3de8;
    r.rflags = 0x246;
    r.cs = {.selector = 0x10,
            .limit = 0xffff'ffff,
            .type = 0xb,
            .present = true,
            .code_or_data = true,
            .long_mode = true,
            .granularity_4k = true};
    r.ss = {.selector = 0x18,
            .limit = 0xffff'ffff,
            .type = 3,
            .present = true,
            .code_or_data = true,
            .default_32 = true,
            .granularity_4k = true};
    r.gs.base = 0xffff'8a03'0f80'0000;
    r.tr = {.selector = 0x40, .base = 0xffff'fe00'0000'3000, .limit = 0x4087, .type = 0xb, .present = true};
    r.gdt = {.base = 0xffff'fe00'0000'1000, .limit = 0x7f};
    r.cr0 = 0x8005'0033;
    r.cr3 = 0x296'4000;
    r.efer = 0xd01;
    return r;
}

std::string value_of(std::string_view text) {
    try {
        return std::to_string(evaluate(text, long_mode()));
    } catch (const HumanError& error) {
        return error.what();
    }
}

std::string format_of(std::string_view text) {
    try {
        const auto format = take_format(text);
        return std::to_string(format.count) + format.how + std::to_string(format.size) + " " + std::string(text);
    } catch (const HumanError& error) {
        return error.what();
    }
}

std::string dump(std::string_view text, std::string_view words) {
    return memory_text(std::as_bytes(std::span(text)), 0xf0000, take_format(words));
}

}  // namespace

// Values and errors as QEMU 7.2 has them.
BOOST_AUTO_TEST_CASE(an_expression_has_a_value) {
    BOOST_TEST(value_of("1+2*3") == "7");
    BOOST_TEST(value_of(" 7 & 3 + 1 ") == "4");
    BOOST_TEST(value_of("(1+2)*3-10/3%2") == "8");
    BOOST_TEST(value_of("6|1^3") == "4");
    BOOST_TEST(value_of("-1") == "18446744073709551615");
    BOOST_TEST(value_of("~0-+1") == "18446744073709551614");
    BOOST_TEST(value_of("0x10") == "16");
    BOOST_TEST(value_of("010") == "8");
    BOOST_TEST(value_of("0") == "0");
    BOOST_TEST(value_of("'A'") == "65");
    BOOST_TEST(value_of("0xffffffffffffffff") == "18446744073709551615");
}

BOOST_AUTO_TEST_CASE(registers_have_the_names_of_their_widths_and_segments_their_parts) {
    BOOST_TEST(value_of("$rax") == "4600387192");
    BOOST_TEST(value_of("$eax") == "305419896");
    BOOST_TEST(value_of("$r10 - 0xfeed") == "0");
    BOOST_TEST(value_of("$rip-0xffffffff81000000") == "0");
    BOOST_TEST(value_of("$pc-$rip") == "0");
    BOOST_TEST(value_of("$eip") == "2164260864");
    BOOST_TEST(value_of("$eflags") == "582");
    BOOST_TEST(value_of("$cs") == "16");
    BOOST_TEST(value_of("$cs.limit") == "4294967295");
    BOOST_TEST(value_of("$gs.base-0xffff8a030f800000") == "0");
    BOOST_TEST(value_of("$gdt.limit+$cr3") == std::to_string(0x296'407f));
    Registers real;
    real.cs = {.selector = 0xf000, .base = 0xffff'0000};
    real.rip = 0xfff0;
    BOOST_TEST(evaluate("$pc", real) == 0xffff'fff0u);
    for (const char* const none : {"$", "$ax", "$e10", "$er0", "$cs.", "$cs.type", "$gdt", "$efer.base", "$RAX"})
        BOOST_TEST(value_of(none) == "unknown register", none);
}

BOOST_AUTO_TEST_CASE(what_is_wrong_in_an_expression_is_said) {
    BOOST_TEST(value_of("") == "unexpected end of expression");
    BOOST_TEST(value_of("1+") == "unexpected end of expression");
    BOOST_TEST(value_of("foo") == "invalid char 'f' in expression");
    BOOST_TEST(value_of("(1") == "')' expected");
    BOOST_TEST(value_of("1/0") == "division by zero");
    BOOST_TEST(value_of("1%(2-2)") == "division by zero");
    BOOST_TEST(value_of("10 20") == "extraneous characters at the end of line");
    BOOST_TEST(value_of("08") == "extraneous characters at the end of line");
    BOOST_TEST(value_of("0x") == "invalid number");
    BOOST_TEST(value_of("0x10000000000000000") == "number too large");
    BOOST_TEST(value_of("'") == "character constant expected");
    BOOST_TEST(value_of("'ab'") == "missing terminating ' character");
    BOOST_TEST(value_of(std::string(100'000, '(')) == "the expression is too deep");
    BOOST_TEST(value_of(std::string(100'000, '-') + '1') == "the expression is too deep");
}

BOOST_AUTO_TEST_CASE(any_text_is_a_value_or_an_error) {
    std::mt19937 random(20261129);
    constexpr std::string_view letters = "0123456789abcdefx$()+-*/%&|^~' .rip";
    for (int round = 0; round < 50'000; ++round) {
        std::string text;
        for (auto size = random() % 16; size > 0; --size) text += letters[random() % letters.size()];
        static_cast<void>(value_of(text));
        static_cast<void>(format_of("/" + text));
    }
}

BOOST_AUTO_TEST_CASE(a_format_says_how_many_how_and_how_large) {
    BOOST_TEST(format_of("/4xw $rip") == "4x4  $rip");
    BOOST_TEST(format_of(" /12gd 0") == "12d8  0");
    BOOST_TEST(format_of("/b 1") == "1x1  1");
    BOOST_TEST(format_of("/3c 1") == "3c1  1");
    BOOST_TEST(format_of("/ 1") == "1x4  1");
    BOOST_TEST(format_of("0x10") == "1x4 0x10");
    BOOST_TEST(format_of("/99999999999999999999b 1") == "4294967296x1  1");
    BOOST_TEST(format_of("/4xz 1") == "invalid char in format: 'z'");
    BOOST_TEST(format_of("/-1 1") == "invalid char in format: '-'");
}

// As QEMU 7.2 prints the begin of its BIOS.
BOOST_AUTO_TEST_CASE(memory_is_printed_in_lines_with_addresses) {
    constexpr std::string_view bytes = "C$\x83\xc4 [^_]\xc3UWVS\x83\xec\b\x89\xc6\x89";
    BOOST_TEST(dump(bytes.substr(0, 16), "/4xw") ==
               "00000000000f0000: 0xc4832443 0x5f5e5b20 0x5755c35d 0xec835356\n");
    BOOST_TEST(dump(bytes, "/20xb") ==
               "00000000000f0000: 0x43 0x24 0x83 0xc4 0x20 0x5b 0x5e 0x5f\n"
               "00000000000f0008: 0x5d 0xc3 0x55 0x57 0x56 0x53 0x83 0xec\n00000000000f0010: 0x08 0x89 0xc6 0x89\n");
    BOOST_TEST(dump(bytes.substr(0, 10), "/5uh") == "00000000000f0000:  9283 50307 23328 24414 50013\n");
    BOOST_TEST(dump(bytes.substr(0, 16), "/2xg") == "00000000000f0000: 0x5f5e5b20c4832443 0xec8353565755c35d\n");
    BOOST_TEST(dump(bytes.substr(0, 6), "/6ob") == "00000000000f0000: 0103 044 0203 0304 040 0133\n");
    BOOST_TEST(dump(bytes.substr(0, 6), "/6c") == "00000000000f0000: 'C' '$' '\\x83' '\\xc4' ' ' '['\n");
    // QEMU forgets the sign.
    BOOST_TEST(dump(bytes.substr(0, 4), "/1dw") == "00000000000f0000: -998038461\n");
    BOOST_TEST(dump("\xff\xff", "/2db") == "00000000000f0000:  -1  -1\n");
    // What does not fill a number is left out.
    BOOST_TEST(dump(bytes.substr(0, 7), "/2xw") == "00000000000f0000: 0xc4832443\n");
    BOOST_TEST(dump("", "/1xw").empty());
}

BOOST_AUTO_TEST_CASE(numbers_are_printed_as_asked) {
    const auto text = [](std::uint64_t value, char how) { return number_text(value, {.how = how, .size = 8}); };
    BOOST_TEST(text(65, 'x') == "0x41");
    BOOST_TEST(text(65, 'c') == "'A'");
    BOOST_TEST(text('\n', 'c') == R"('\n')");
    BOOST_TEST(text(8, 'o') == "010");
    BOOST_TEST(text(~std::uint64_t{0}, 'd') == "-1");
    BOOST_TEST(text(~std::uint64_t{0}, 'u') == "18446744073709551615");
}

BOOST_AUTO_TEST_CASE(registers_stand_where_scripts_look_for_them) {
    const auto text = registers_text(long_mode(), 1);
    for (const char* const line :
         {"\nCPU#1\nRAX=0000000112345678 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000\n",
          "\nRSI=0000000000000000 RDI=0000000000000000 RBP=0000000000000000 RSP=ffffffff82a03de8\nR8 =0000000000000000 ",
          "R10=000000000000feed ", "\nRIP=ffffffff81000000 RFL=00000246 [---Z-P-] CPL=0",
          "\nCS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\n",
          "\nSS =0018 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]\n",
          "\nGS =0000 ffff8a030f800000 00000000 00000000\n",
          "\nTR =0040 fffffe0000003000 00004087 00008b00 DPL=0 TSS64-busy\n",
          "\nGDT=     fffffe0000001000 0000007f\n",
          "\nCR0=80050033 CR2=0000000000000000 CR3=0000000002964000 CR4=00000000\nEFER=0000000000000d01\n"}) {
        BOOST_TEST(text.find(line) != text.npos, line << " is not in " << text);
    }
    Registers real;
    real.rip = 0xfff0;
    real.cs = {.selector = 0xf000, .base = 0xffff'0000, .limit = 0xffff, .type = 0xb, .present = true, .code_or_data = true};
    const auto short_text = registers_text(real, 0);
    for (const char* const line :
         {"EAX=00000000 ", "\nEIP=0000fff0 EFL=00000002 [-------] CPL=0",
          "\nCS =f000 ffff0000 0000ffff 00009b00 DPL=0 CS16 [-RA]\n"})
        BOOST_TEST(short_text.find(line) != short_text.npos, line << " is not in " << short_text);
    BOOST_TEST(short_text.find("R8 ") == short_text.npos);
}
