#include "report/wording.hpp"

#include "bytes.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace asyncvm;
using asyncvm::test::bytes;

namespace {

using Record = ExitHistory::Record;
using Kind = ExitHistory::Kind;

std::string name(Space space, std::uint64_t address) { return space == Space::port && address == 0x3f8 ? "uart16550" : ""; }

}  // namespace

BOOST_AUTO_TEST_CASE(port_accesses_read_like_the_instruction) {
    BOOST_TEST(describe(Record{.kind = Kind::port,
                               .direction = Direction::write,
                               .size = 1,
                               .valid = 1,
                               .count = 1,
                               .address = 0x3f8,
                               .data = 0x48,
                               .rip = 0x10003},
                        name) == "out 0x3f8 <- 0x48 'H' (uart16550) at rip 0x10003");
    BOOST_TEST(describe(Record{.kind = Kind::port,
                               .direction = Direction::read,
                               .size = 2,
                               .valid = 2,
                               .count = 1,
                               .address = 0x10,
                               .data = 7,
                               .rip = 1},
                        name) == "in 0x10 -> 0x0007 (no device) at rip 0x1");
    BOOST_TEST(describe(Record{.kind = Kind::port,
                               .direction = Direction::read,
                               .size = 1,
                               .valid = 0,
                               .count = 1,
                               .address = 0x3f8,
                               .rip = 1},
                        name) == "in 0x3f8 -> (no answer yet) (uart16550) at rip 0x1");
}

BOOST_AUTO_TEST_CASE(memory_accesses_say_which_way_they_went) {
    BOOST_TEST(describe(Record{.kind = Kind::mmio,
                               .direction = Direction::write,
                               .size = 4,
                               .valid = 4,
                               .count = 1,
                               .address = 0xd000'0000,
                               .data = 0x12345678,
                               .rip = 1},
                        name) == "write 0xd0000000 <- 0x12345678 (no device) at rip 0x1");
    BOOST_TEST(describe(Record{.kind = Kind::mmio,
                               .direction = Direction::read,
                               .size = 8,
                               .valid = 8,
                               .count = 1,
                               .address = 0xd000'0000,
                               .data = 1,
                               .rip = 1},
                        {}) == "read 0xd0000000 -> 0x0000000000000001 at rip 0x1");
}

BOOST_AUTO_TEST_CASE(strings_show_their_beginning) {
    BOOST_TEST(describe(Record{.kind = Kind::port,
                               .direction = Direction::write,
                               .size = 1,
                               .valid = 8,
                               .count = 12,
                               .address = 0x3f8,
                               .data = 0x0a22'6f6c'6c65'4820,
                               .rip = 1},
                        name) ==
               "out 0x3f8 <- 12 x 1 byte: 20 48 65 6c 6c 6f 22 0a ... \" Hello\".\" (uart16550) at rip 0x1");
    BOOST_TEST(describe(Record{.kind = Kind::port,
                               .direction = Direction::read,
                               .size = 2,
                               .valid = 4,
                               .count = 2,
                               .address = 0x1f0,
                               .data = 0x0403'0201,
                               .rip = 1},
                        {}) == "in 0x1f0 -> 2 x 2 bytes: 01 02 03 04 at rip 0x1");
}

BOOST_AUTO_TEST_CASE(other_exits_have_a_word) {
    BOOST_TEST(describe(Record{.kind = Kind::halted, .rip = 2}, name) == "hlt at rip 0x2");
    BOOST_TEST(describe(Record{.kind = Kind::shut_down, .rip = 2}, name) == "triple fault at rip 0x2");
}

BOOST_AUTO_TEST_CASE(unprintable_bytes_stay_numbers) {
    for (const int byte : {0, 0x1f, 0x7f, 0x80, 0xff}) {
        const auto text = describe(Record{.kind = Kind::port,
                                          .direction = Direction::write,
                                          .size = 1,
                                          .valid = 1,
                                          .count = 1,
                                          .address = 1,
                                          .data = static_cast<std::uint64_t>(byte)},
                                   {});
        for (const char c : text) BOOST_TEST((c >= 0x20 && c < 0x7f && c != '\''));
    }
}

BOOST_AUTO_TEST_CASE(bytes_are_two_digits_each) {
    BOOST_TEST(hex_bytes(bytes({0x0f, 0x58, 0xc1})) == "0f 58 c1");
    BOOST_TEST(hex_bytes({}) == "");
}
