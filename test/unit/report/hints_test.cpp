#include "report/hints.hpp"

#include "crash_fixture.hpp"

#include <boost/test/unit_test.hpp>

#include <algorithm>

using namespace asyncvm;
using asyncvm::test::contains;
using asyncvm::test::MadeUpDeath;
using asyncvm::test::put;

namespace {

std::string hints_of(const MadeUpDeath& guest) {
    const CrashContext crash = guest.crash();
    std::string all;
    for (const std::string& hint : hints_about(crash, look_at(crash))) all += hint + '\n';
    return all;
}

Failure emulation(std::initializer_list<int> bytes) {
    Failure failure{.kind = Failure::Kind::emulation, .code = 1};
    failure.instruction_size = static_cast<std::uint8_t>(bytes.size());
    std::ranges::transform(bytes, failure.instruction.begin(), [](int byte) { return static_cast<std::uint8_t>(byte); });
    return failure;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_missing_idt_explains_a_triple_fault) {
    MadeUpDeath guest(Mode::long64);
    put(guest.memory, 0x10000, {0x0f, 0x0b});
    BOOST_TEST(hints_of(guest) == "no IDT is loaded: any exception ends in a triple fault\n");
    guest.registers.idt.limit = 0xfff;
    BOOST_TEST(hints_of(guest) == "");
}

BOOST_AUTO_TEST_CASE(a_short_interrupt_table_explains_one_in_real_mode) {
    MadeUpDeath guest(Mode::real16);
    put(guest.memory, 0x10000, {0x0f, 0x0b});
    BOOST_TEST(!contains(hints_of(guest), "interrupt table"));
    guest.registers.idt.limit = 0xf;
    BOOST_TEST(contains(hints_of(guest), "the interrupt table's limit is 0xf"));
}

BOOST_AUTO_TEST_CASE(a_guest_that_stays_in_16_bit_mode_may_be_code_for_another) {
    MadeUpDeath guest(Mode::real16);
    put(guest.memory, 0x10000, {0x0f, 0x0b});
    BOOST_TEST(contains(hints_of(guest), "code for 32 or 64 bits needs --mode 32 or --mode 64"));
    guest.registers.cr0 |= 1;
    BOOST_TEST(!contains(hints_of(guest), "--mode"));
    BOOST_TEST(!contains(hints_of(MadeUpDeath(Mode::protected32)), "--mode"));
    // Who has a BIOS was started as what it is: a boot sector takes no --mode.
    MadeUpDeath boot_sector(Mode::real16);
    put(boot_sector.memory, 0x10000, {0x0f, 0x0b});
    put(boot_sector.memory, 0x13 * 4, {0x00, 0x01, 0x00, 0xf0});
    BOOST_TEST(!contains(hints_of(boot_sector), "--mode"));
}

BOOST_AUTO_TEST_CASE(a_plain_instruction_may_have_raised_an_exception) {
    MadeUpDeath guest(Mode::protected32, emulation({0x0f, 0x0b}));
    put(guest.memory, 0x10000, {0x0f, 0x0b});
    BOOST_TEST(contains(hints_of(guest), "no IDT is loaded"));
}

BOOST_AUTO_TEST_CASE(zeroed_memory_is_no_code) {
    MadeUpDeath guest(Mode::real16);
    guest.registers.rip = 0x4000;
    BOOST_TEST(contains(hints_of(guest), "executes zeroed memory (00 00 is add [bx+si], al)"));
    MadeUpDeath wide(Mode::long64);
    wide.registers.rip = 0x20000;
    BOOST_TEST(contains(hints_of(wide), "add [rax], al"));
}

BOOST_AUTO_TEST_CASE(a_rip_without_memory_is_named) {
    MadeUpDeath guest(Mode::long64, emulation({0xff}));
    guest.registers.rip = 0x8000'0000;
    BOOST_TEST(contains(hints_of(guest), "RIP points outside of RAM: there is no memory"));
    guest.registers.rip = 0x1'0000'0000;
    BOOST_TEST(contains(hints_of(guest), "RIP points to an address that is not mapped: the page tables do not map it"));
}

BOOST_AUTO_TEST_CASE(the_last_page_fault_is_named_while_it_explains_something) {
    MadeUpDeath guest(Mode::long64);
    put(guest.memory, 0x10000, {0x90});
    guest.registers.cr2 = 0x1'0000'0000;
    BOOST_TEST(contains(hints_of(guest), "the last page fault was at 0x100000000, which is not mapped"));
    guest.registers.cr2 = 0x1000;
    BOOST_TEST(!contains(hints_of(guest), "page fault"));
}

BOOST_AUTO_TEST_CASE(instructions_that_cannot_be_emulated_have_a_way_around) {
    BOOST_TEST(contains(hints_of(MadeUpDeath(Mode::long64, emulation({0x0f, 0x58, 0xc1}))), "-mgeneral-regs-only"));
    BOOST_TEST(contains(hints_of(MadeUpDeath(Mode::long64, emulation({0xdb, 0xe3}))), "-mgeneral-regs-only"));
    BOOST_TEST(contains(hints_of(MadeUpDeath(Mode::long64, emulation({0xf3, 0x0f, 0xb8, 0xc3}))), "-mpopcnt"));
    BOOST_TEST(
        contains(hints_of(MadeUpDeath(Mode::protected32, emulation({0xcd, 0x80}))), "int and iret outside of real mode"));
    BOOST_TEST(contains(hints_of(MadeUpDeath(Mode::long64, emulation({0x0f, 0x05}))), "system calls"));
}

BOOST_AUTO_TEST_CASE(without_reported_bytes_the_instruction_is_read_from_memory) {
    MadeUpDeath guest(Mode::long64, emulation({}));
    put(guest.memory, 0x10000, {0x0f, 0x58, 0xc1});
    BOOST_TEST(contains(hints_of(guest), "-mgeneral-regs-only"));
}

BOOST_AUTO_TEST_CASE(a_size_that_is_too_large_is_cut) {
    Failure failure = emulation({0x90});
    failure.instruction_size = 255;
    BOOST_TEST(failed_instruction(failure, CodeContext{}).size() == 15u);
}
