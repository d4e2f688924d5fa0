#define BOOST_TEST_MODULE report
#include "report/report.hpp"

#include "crash_fixture.hpp"
#include "report/disassembler.hpp"

#include "with_disassembler.hpp"

#include <boost/test/unit_test.hpp>

#include <random>

using namespace asyncvm;
using asyncvm::test::bytes;
using asyncvm::test::contains;
using asyncvm::test::MadeUpDeath;
using asyncvm::test::put;

namespace {

/// A 64-bit guest that prints "Hi" and then loads a selector that its GDT does not have.
struct HelloAndDie : MadeUpDeath {
    HelloAndDie() : MadeUpDeath(Mode::long64) {
        put(memory, 0x10000,
            {0xba, 0xf8, 0x03, 0x00, 0x00, 0xb0, 0x48, 0xee, 0xb0, 0x69, 0xee, 0xec, 0x66, 0xb8, 0x28, 0x00, 0x8e, 0xd8,
             0xf4});
        registers.rip = 0x10010;
        registers.rax = 0x28;
        registers.rdx = 0x3f8;
        registers.rsp = 0xffff8;
        put(memory, 0xffff8, {0x34, 0x12});
        port(Direction::write, 0x3f8, bytes({'H'}), 0x10007);
        port(Direction::write, 0x3f8, bytes({'i'}), 0x1000a);
        port(Direction::read, 0x3f8, bytes({0}), 0x1000b);
    }
};

/// What kvm-amd leaves after a triple fault.
void reset(MadeUpDeath& guest) {
    guest.registers = Registers{};
    guest.registers.rip = 0xfff0;
    guest.registers.cs.selector = 0xf000;
    guest.registers.cs.base = 0xffff'0000;
    guest.registers.cr0 = 0x6000'0010;
    guest.registers.rdx = 0x600;
}

std::string summary(const MadeUpDeath& guest) { return summarize(guest.crash()); }

Exit failure(Failure::Kind kind, std::uint64_t code) { return Failure{.kind = kind, .code = code}; }

}  // namespace

BOOST_AUTO_TEST_CASE(a_report_has_all_that_is_known, *boost::unit_test::precondition(asyncvm::test::with_disassembler)) {
    BOOST_TEST(format_report(HelloAndDie().crash()) ==
               R"(triple fault at 0x10010 (vCPU 0)
hint: no IDT is loaded: any exception ends in a triple fault
code (64-bit long mode):
     0x10008  b0 69                   mov al, 0x69
     0x1000a  ee                      out dx, al
     0x1000b  ec                      in al, dx
     0x1000c  66 b8 28 00             mov ax, 0x28
  => 0x10010  8e d8                   mov ds, ax
     0x10012  f4                      hlt
last exits, the newest last (3 of 3):
  out 0x3f8 <- 0x48 'H' (uart16550) at rip 0x10007
  out 0x3f8 <- 0x69 'i' (uart16550) at rip 0x1000a
  in 0x3f8 -> 0x00 (uart16550) at rip 0x1000b
registers of vCPU 0:
  rip 0000000000010010  rflags 00000002 [] iopl 0
  rax 0000000000000028  rbx 0000000000000000  rcx 0000000000000000  rdx 00000000000003f8
  rsi 0000000000000000  rdi 0000000000000000  rsp 00000000000ffff8  rbp 0000000000000000
  r8  0000000000000000  r9  0000000000000000  r10 0000000000000000  r11 0000000000000000
  r12 0000000000000000  r13 0000000000000000  r14 0000000000000000  r15 0000000000000000
  cs  0008  base 0000000000000000  limit ffffffff  dpl 0  code 64-bit
  ds  0010  base 0000000000000000  limit ffffffff  dpl 0  data 32-bit
  es  0010  base 0000000000000000  limit ffffffff  dpl 0  data 32-bit
  fs  0010  base 0000000000000000  limit ffffffff  dpl 0  data 32-bit
  gs  0010  base 0000000000000000  limit ffffffff  dpl 0  data 32-bit
  ss  0010  base 0000000000000000  limit ffffffff  dpl 0  data 32-bit
  tr  0000  base 0000000000000000  limit 0000ffff  dpl 0  system type 11
  ldt 0000  base 0000000000000000  limit 00000000  dpl 0  not present
  gdt base 00000000fffb6000  limit 001f
  idt base 0000000000000000  limit 0000
  cr0 80000033 [pe mp et ne pg]
  cr2 0000000000000000  cr3 00000000fffb0000
  cr4 00000620 [pae osfxsr osxmmexcpt]
  efer 00000500 [lme lma]
stack at 0xffff8, the top first:
  0000000000001234
)");
}

BOOST_AUTO_TEST_CASE(summaries_name_the_place) {
    BOOST_TEST(summary(HelloAndDie()) == "triple fault at 0x10010 (vCPU 0)");
    MadeUpDeath real(Mode::real16);
    real.cpu = 1;
    real.registers.rip = 0x12;
    BOOST_TEST(summary(real) == "triple fault at 0x10012 (vCPU 1)");
    BOOST_TEST(summary(MadeUpDeath(Mode::real16, Debug{})) == "unexpected debug exit at 0x10000 (vCPU 0)");
    BOOST_TEST(summary(MadeUpDeath(Mode::real16, Halted{})) == "halted at 0x10000 (vCPU 0)");
    BOOST_TEST(summary(MadeUpDeath(Mode::real16, SystemEvent{.kind = SystemEvent::Kind::reset})) ==
               "the guest asked for a reset at 0x10000 (vCPU 0)");
    BOOST_TEST(summary(MadeUpDeath(Mode::real16, SystemEvent{.kind = SystemEvent::Kind::other, .type = 5})) ==
               "the guest raised KVM_SYSTEM_EVENT_SUSPEND at 0x10000 (vCPU 0)");
    BOOST_TEST(summary(MadeUpDeath(Mode::real16, failure(Failure::Kind::unhandled, 29))) ==
               "the guest stopped with KVM_EXIT_X86_RDMSR, which is not handled, at 0x10000 (vCPU 0)");
}

BOOST_AUTO_TEST_CASE(an_instruction_that_kvm_cannot_emulate_is_named) {
    Failure failure{.kind = Failure::Kind::emulation, .code = 1, .instruction_size = 15};
    failure.instruction = {0x0f, 0x58, 0xc1, 0xf4};
    MadeUpDeath guest(Mode::long64, failure);
    guest.registers.rip = 0x10003;
    BOOST_TEST(summary(guest) ==
               (can_disassemble()
                    ? "KVM cannot emulate the instruction at 0x10003: addps xmm0, xmm1 (0f 58 c1)"
                    : "KVM cannot emulate the instruction at 0x10003: 0f 58 c1 f4 00 00 00 00 00 00 00 00 00 00 00"));
    BOOST_TEST(contains(format_report(guest.crash()), "hint: "));
}

BOOST_AUTO_TEST_CASE(a_processor_that_was_reset_shows_the_last_exit_instead) {
    HelloAndDie guest;
    reset(guest);
    BOOST_TEST(summary(guest) == "triple fault after the exit at 0x1000b (vCPU 0)");
    const std::string report = format_report(guest.crash());
    BOOST_TEST(contains(report, "hint: KVM has reset the processor (as it does on AMD)"));
    BOOST_TEST(contains(report, "hint: the guest started without an IDT"));
    BOOST_TEST(contains(report, "code at the last exit, if the mode is still the first (64-bit long mode):\n"));
    BOOST_TEST(contains(report, "  => 0x1000b  ec"));
    BOOST_TEST(contains(report, "in 0x3f8 -> 0x00 (uart16550) at rip 0x1000b"));
    BOOST_TEST(!contains(report, "registers of"));
    BOOST_TEST(!contains(report, "fff0"));
}

BOOST_AUTO_TEST_CASE(a_processor_that_was_reset_before_any_exit_has_no_place) {
    MadeUpDeath guest(Mode::real16);
    reset(guest);
    BOOST_TEST(summary(guest) == "triple fault before its first exit (vCPU 0)");
    const std::string report = format_report(guest.crash());
    BOOST_TEST(contains(report, "code at the entry (16-bit real mode):\n"));
    BOOST_TEST(contains(report, "the guest had no exits before\n"));
    CrashContext crash = guest.crash();
    crash.started_with = nullptr;
    BOOST_TEST(!contains(format_report(crash), "code at"));
}

BOOST_AUTO_TEST_CASE(only_a_triple_fault_resets_the_processor) {
    MadeUpDeath guest(Mode::real16, failure(Failure::Kind::internal, 3));
    reset(guest);
    BOOST_TEST(contains(summary(guest), "at 0xfffffff0"));
}

BOOST_AUTO_TEST_CASE(without_memory_at_rip_there_is_no_instruction_to_name) {
    MadeUpDeath guest(Mode::long64, failure(Failure::Kind::emulation, 1));
    guest.registers.rip = 0x8000'0000;
    BOOST_TEST(summary(guest) == "KVM cannot emulate the instruction at 0x80000000: there is no memory");
}

BOOST_AUTO_TEST_CASE(the_exit_that_ended_the_guest_is_not_listed_before_it) {
    HelloAndDie guest;
    guest.history.exited(0, guest.exit, guest.registers.rip);
    const std::string report = format_report(guest.crash());
    BOOST_TEST(contains(report, "last exits, the newest last (3 of 3):\n"));
    BOOST_TEST(!contains(report, "triple fault at rip"));
    MadeUpDeath early(Mode::long64);
    early.history.exited(0, early.exit, 0x10000);
    BOOST_TEST(contains(format_report(early.crash()), "the guest had no exits before\n"));
}

BOOST_AUTO_TEST_CASE(the_same_exit_again_is_counted) {
    HelloAndDie guest;
    for (int i = 0; i < 99; ++i) guest.port(Direction::read, 0x3f8, bytes({0}), 0x1000b);
    BOOST_TEST(contains(format_report(guest.crash()), "last exits, the newest last (102 of 102):\n"));
    BOOST_TEST(contains(format_report(guest.crash()), "  in 0x3f8 -> 0x00 (uart16550) at rip 0x1000b, 100 times\n"));
}

BOOST_AUTO_TEST_CASE(posted_writes_are_counted_and_not_listed) {
    HelloAndDie guest;
    BOOST_TEST(!contains(format_report(guest.crash()), "posted"));
    guest.posted = 1;
    BOOST_TEST(contains(format_report(guest.crash()),
                        "at rip 0x1000b\nnot among them: 1 posted write, which did not stop the guest"));
    MadeUpDeath silent(Mode::real16);
    silent.posted = 20'000;
    BOOST_TEST(contains(format_report(silent.crash()), "no exits before\nnot among them: 20000 posted writes, "));
}

BOOST_AUTO_TEST_CASE(a_stack_that_was_never_used_is_empty) {
    const MadeUpDeath guest(Mode::long64);
    BOOST_TEST(contains(format_report(guest.crash()), "stack at 0x100000: empty, as at the start\n"));
}

BOOST_AUTO_TEST_CASE(the_stack_is_shown_as_wide_as_a_push) {
    MadeUpDeath real(Mode::real16);
    real.registers.rsp = 0xabcd'1000;
    put(real.memory, 0x11000, {0x34, 0x12});
    BOOST_TEST(contains(format_report(real.crash()),
                        "stack at 0x11000, the top first:\n  1234 0000 0000 0000 0000 0000 0000 0000\n"));
    MadeUpDeath flat(Mode::protected32);
    flat.registers.rsp = 0xffff8;
    BOOST_TEST(contains(format_report(flat.crash()), "stack at 0xffff8, the top first:\n  00000000 00000000\n"));
    flat.registers.rsp = 0x110000;
    BOOST_TEST(contains(format_report(flat.crash()), "stack at 0x110000: nothing can be read there\n"));
}

BOOST_AUTO_TEST_CASE(no_state_of_a_guest_harms_its_report) {
    std::mt19937_64 random(1);
    const auto any = [&random] { return random() >> (random() % 64); };
    const auto any_segment = [&] {
        const std::uint64_t bits = random();
        return Segment{.selector = static_cast<std::uint16_t>(any()),
                       .base = any(),
                       .limit = static_cast<std::uint32_t>(any()),
                       .type = static_cast<std::uint8_t>(bits & 15),
                       .dpl = static_cast<std::uint8_t>(bits >> 4 & 3),
                       .present = (bits & 0x40) != 0,
                       .code_or_data = (bits & 0x80) != 0,
                       .long_mode = (bits & 0x100) != 0,
                       .default_32 = (bits & 0x200) != 0};
    };
    MadeUpDeath guest(Mode::long64);
    for (auto& byte : guest.memory.try_at(0, 0x20000)) byte = static_cast<std::byte>(random());
    for (int i = 0; i < 2000; ++i) {
        Registers& registers = guest.registers;
        registers.rip = any(), registers.rsp = any(), registers.rflags = any(), registers.cr2 = any();
        registers.cr0 = any(), registers.cr3 = random() % 2 == 0 ? any() : guest.started_with.cr3;
        registers.cr4 = any(), registers.efer = any();
        registers.cs = any_segment(), registers.ss = any_segment(), registers.ds = any_segment();
        Failure failure{.kind = static_cast<Failure::Kind>(random() % 6), .code = any()};
        failure.instruction_size = static_cast<std::uint8_t>(random());
        for (auto& byte : failure.instruction) byte = static_cast<std::uint8_t>(random());
        guest.exit = random() % 2 == 0 ? Exit(failure) : Exit(ShutDown{});
        guest.port(random() % 2 == 0 ? Direction::read : Direction::write, any(), bytes({1, 2, 3, 4}), any(),
                   1 << random() % 3);
        const std::string report = format_report(guest.crash());
        BOOST_REQUIRE(report.ends_with('\n'));
        BOOST_REQUIRE(report.size() < 8192);
    }
}
