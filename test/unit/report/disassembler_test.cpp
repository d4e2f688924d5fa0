#include "report/disassembler.hpp"

#include "bytes.hpp"

#include "with_disassembler.hpp"

#include <boost/test/unit_test.hpp>

#include <random>
#include <string>
#include <vector>

using namespace asyncvm;
using asyncvm::test::bytes;

namespace {

std::string first(const std::vector<std::byte>& code, std::uint64_t rip, unsigned bits) {
    const auto lines = disassemble(code, rip, bits);
    return lines.empty() ? "nothing" : lines.front().text;
}

}  // namespace

BOOST_AUTO_TEST_CASE(each_mode_reads_the_same_bytes_its_own_way,
                     *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    const auto code = bytes({0x48, 0x01, 0xd8});
    BOOST_TEST(first(code, 0, 64) == "add rax, rbx");
    BOOST_TEST(first(code, 0, 32) == "dec eax");
    BOOST_TEST(first(code, 0, 16) == "dec ax");
    BOOST_TEST(first(bytes({0xe6, 0xf8}), 0, 16) == "out 0xf8, al");
    BOOST_TEST(first(bytes({0x00, 0x00}), 0, 16) == "add [bx+si], al");
    BOOST_TEST(first(bytes({0x8b, 0x04, 0x1b}), 0, 32) == "mov eax, [ebx+ebx]");
    BOOST_TEST(first(bytes({0x8b, 0x04, 0x9b}), 0, 32) == "mov eax, [ebx+ebx*4]");
}

BOOST_AUTO_TEST_CASE(jumps_name_their_target, *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    BOOST_TEST(first(bytes({0xeb, 0xfe}), 0x10000, 64) == "jmp 0x10000");
    BOOST_TEST(first(bytes({0xe9, 0xfd, 0xff}), 0x12, 16) == "jmp 0x12");
    BOOST_TEST(first(bytes({0x48, 0x8b, 0x05, 0x10, 0, 0, 0}), 0x10000, 64) == "mov rax, [0x10017]");
}

BOOST_AUTO_TEST_CASE(bytes_that_are_no_instruction_are_stepped_over,
                     *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    const auto code = bytes({0x06, 0x90});  // push es is gone from 64-bit code
    const auto lines = disassemble(code, 0x100, 64);
    BOOST_REQUIRE(lines.size() == 2u);
    BOOST_TEST(lines[0].text == "(bad)");
    BOOST_TEST(lines[1].text == "nop");
    BOOST_TEST(lines[1].address == 0x101u);
}

BOOST_AUTO_TEST_CASE(an_instruction_that_is_cut_off_is_left_out,
                     *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    const auto code = bytes({0x90, 0xb8, 0x01});
    const auto lines = disassemble(code, 0, 32);
    BOOST_REQUIRE(lines.size() == 1u);
    BOOST_TEST(lines[0].text == "nop");
}

BOOST_AUTO_TEST_CASE(lines_follow_each_other_without_gaps) {
    std::mt19937 random(1);
    for (int i = 0; i < 3000; ++i) {
        std::vector<std::byte> code(random() % 40);
        for (std::byte& byte : code) byte = static_cast<std::byte>(random());
        for (const unsigned bits : {16u, 32u, 64u}) {
            std::size_t size = 0;
            for (const Instruction& line : disassemble(code, 0xffff'ffff'ffff'fff0, bits)) {
                BOOST_REQUIRE(line.address == 0xffff'ffff'ffff'fff0 + size);
                BOOST_REQUIRE(!line.bytes.empty());
                BOOST_REQUIRE(line.bytes.data() == code.data() + size);
                BOOST_REQUIRE(line.text.empty() != can_disassemble());
                size += line.bytes.size();
            }
            BOOST_REQUIRE(size <= code.size());
            BOOST_REQUIRE((can_disassemble() || size == code.size()));
        }
    }
}
