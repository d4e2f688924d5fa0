#include "report/code.hpp"

#include "crash_fixture.hpp"
#include "report/disassembler.hpp"

#include "with_disassembler.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using asyncvm::test::contains;
using asyncvm::test::MadeUpDeath;
using asyncvm::test::put;

namespace {

std::string code_of(const MadeUpDeath& guest) {
    const CrashContext crash = guest.crash();
    return format_code(crash, look_at(crash));
}

}  // namespace

BOOST_AUTO_TEST_CASE(an_arrow_marks_rip_between_its_neighbours,
                     *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    MadeUpDeath guest(Mode::real16);
    put(guest.memory, 0x10000, {0xb0, 0x48, 0xba, 0xf8, 0x03, 0xee, 0x0f, 0x0b, 0xf4});
    guest.registers.rip = 6;
    BOOST_TEST(contains(code_of(guest),
                        "     1000:0000  b0 48                   mov al, 0x48\n"
                        "     1000:0002  ba f8 03                mov dx, 0x3f8\n"
                        "     1000:0005  ee                      out dx, al\n"
                        "  => 1000:0006  0f 0b                   ud2\n"
                        "     1000:0008  f4                      hlt\n"));
}

BOOST_AUTO_TEST_CASE(known_places_of_exits_beat_a_guess, *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    // A guess would start at the farthest byte, which is the middle of the first MOV: 05 e6 80 0f 0b.
    MadeUpDeath guest(Mode::protected32);
    put(guest.memory, 0x20000, {0xb8, 1, 2, 3, 0x05, 0xe6, 0x80, 0x0f, 0x0b});
    guest.registers.rip = 0x20007;
    guest.port(Direction::write, 0x80, test::bytes({1}), 0x20005);
    const std::string text = code_of(guest);
    BOOST_TEST(
        text.starts_with("     0x20005  e6 80                   out 0x80, al\n"
                         "  => 0x20007  0f 0b                   ud2\n"));
}

BOOST_AUTO_TEST_CASE(the_entry_is_a_known_place_too, *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    MadeUpDeath guest(Mode::protected32);
    put(guest.memory, 0x10000, {0xe8, 0, 0, 0, 0, 0x5d, 0x0f, 0x0b});
    guest.registers.rip = 0x10006;
    BOOST_TEST(
        code_of(guest).starts_with("     0x10000  e8 00 00 00 00          call 0x10005\n"
                                   "     0x10005  5d                      pop ebp\n"
                                   "  => 0x10006  0f 0b                   ud2\n"));
}

BOOST_AUTO_TEST_CASE(code_at_the_very_beginning_of_memory_has_nothing_before_it) {
    MadeUpDeath guest(Mode::long64);
    guest.registers.rip = 0;
    put(guest.memory, 0, {0xf4});
    BOOST_TEST(code_of(guest).starts_with("  => 0x0  f4"));
}

BOOST_AUTO_TEST_CASE(code_at_the_very_end_of_memory_ends_there) {
    MadeUpDeath guest(Mode::protected32);
    guest.registers.rip = (1 << 20) - 1;
    put(guest.memory, guest.registers.rip, {0xf4});
    BOOST_TEST(contains(code_of(guest), "  => 0xfffff  f4"));
}

BOOST_AUTO_TEST_CASE(what_cannot_be_read_says_why) {
    MadeUpDeath guest(Mode::long64);
    guest.registers.rip = 0x8000'0000;
    BOOST_TEST(code_of(guest) == "     nothing can be read at 0x80000000: there is no memory\n");
    guest.registers.rip = 0x1'2345'6789;
    BOOST_TEST(code_of(guest) ==
               "     nothing can be read at 0x123456789: the page tables do not map it (the entry at level 3 is not "
               "present)\n");
    guest.registers.rip = 0x8000'0000'0000'0000;
    BOOST_TEST(contains(code_of(guest), "it is no canonical address"));
    guest.registers.rip = 0x10000;
    guest.registers.cr3 = 0x8000'0000;
    BOOST_TEST(contains(code_of(guest), "its page table at level 4 is not in memory"));
}

BOOST_AUTO_TEST_CASE(memory_that_is_mapped_elsewhere_says_where) {
    MadeUpDeath guest(Mode::long64);
    // 0x200000 in a page of 2 MiB that leads to 0x40000000.
    test::put_number(guest.memory, GuestMemory::boot_tables_base + boot_layout::page_directories + 8,
                     std::uint64_t{0x4000'0083});
    guest.registers.rip = 0x200000;
    BOOST_TEST(contains(code_of(guest), "there is no memory at 0x40000000, where the page tables map it to"));
}
