#include "report/wording.hpp"

#include "crash_fixture.hpp"
#include "boot/initial_state.hpp"
#include "report/code_context.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using asyncvm::test::contains;

BOOST_AUTO_TEST_CASE(real_mode_shows_32_bits) {
    GuestMemory memory(1 << 20);
    Registers registers = initial_registers(memory, Mode::real16, 0x10012);
    registers.rax = 0x1234;
    registers.rflags = 0x3247;
    BOOST_TEST(format_registers(registers) ==
               "  eip 00000012  eflags 00003247 [cf pf zf if] iopl 3\n"
               "  eax 00001234  ebx 00000000  ecx 00000000  edx 00000000\n"
               "  esi 00000000  edi 00000000  esp 00000000  ebp 00000000\n"
               "  cs  1000  base 00010000  limit 0000ffff  dpl 0  code 16-bit\n"
               "  ds  1000  base 00010000  limit 0000ffff  dpl 0  data 16-bit\n"
               "  es  1000  base 00010000  limit 0000ffff  dpl 0  data 16-bit\n"
               "  fs  0000  base 00000000  limit 0000ffff  dpl 0  data 16-bit\n"
               "  gs  0000  base 00000000  limit 0000ffff  dpl 0  data 16-bit\n"
               "  ss  1000  base 00010000  limit 0000ffff  dpl 0  data 16-bit\n"
               "  tr  0000  base 00000000  limit 0000ffff  dpl 0  system type 11\n"
               "  ldt 0000  base 00000000  limit 0000ffff  dpl 0  system type 2\n"
               "  gdt base 00000000  limit ffff\n"
               "  idt base 00000000  limit 03ff\n"
               "  cr0 00000010 [et]\n"
               "  cr2 00000000  cr3 00000000\n"
               "  cr4 00000000 []\n"
               "  efer 00000000 []\n");
}

BOOST_AUTO_TEST_CASE(long_mode_shows_64_bits_and_eight_more_registers) {
    GuestMemory memory(1 << 20);
    Registers registers = initial_registers(memory, Mode::long64, 0x10000);
    registers.r15 = 0xfedc'ba98'7654'3210;
    const std::string text = format_registers(registers);
    BOOST_TEST(contains(text, "  rip 0000000000010000  rflags 00000002 [] iopl 0\n"));
    BOOST_TEST(contains(text, "r15 fedcba9876543210\n"));
    BOOST_TEST(contains(text, "  cs  0008  base 0000000000000000  limit ffffffff  dpl 0  code 64-bit\n"));
    BOOST_TEST(contains(text, "  ldt 0000  base 0000000000000000  limit 00000000  dpl 0  not present\n"));
    BOOST_TEST(contains(text, "  cr0 80000033 [pe mp et ne pg]\n"));
    BOOST_TEST(contains(text, "  cr4 00000620 [pae osfxsr osxmmexcpt]\n"));
    BOOST_TEST(contains(text, "  efer 00000500 [lme lma]\n"));
}

BOOST_AUTO_TEST_CASE(modes_have_names) {
    GuestMemory memory(1 << 20);
    Registers registers = initial_registers(memory, Mode::real16, 0);
    BOOST_TEST(mode_name(registers) == "16-bit real mode");
    registers = initial_registers(memory, Mode::protected32, 0);
    BOOST_TEST(mode_name(registers) == "32-bit protected mode, no paging");
    registers.cr0 |= 0x8000'0000;
    BOOST_TEST(mode_name(registers) == "32-bit protected mode, 32-bit paging");
    registers.cr4 |= 0x20;
    BOOST_TEST(mode_name(registers) == "32-bit protected mode, PAE paging");
    registers.rflags |= 1u << 17;
    BOOST_TEST(contains(mode_name(registers), "virtual-8086 mode"));
    registers = initial_registers(memory, Mode::long64, 0);
    BOOST_TEST(mode_name(registers) == "64-bit long mode");
    registers.cr4 |= 1u << 12;
    BOOST_TEST(mode_name(registers) == "64-bit long mode, 5-level paging");
    registers.cs.long_mode = false;
    registers.cs.default_32 = true;
    BOOST_TEST(contains(mode_name(registers), "32-bit code in long mode"));
}
