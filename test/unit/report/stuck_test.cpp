#include "report/stuck.hpp"
#include "report/misfit.hpp"

#include "crash_fixture.hpp"

#include <boost/test/unit_test.hpp>

using namespace asyncvm;
using asyncvm::test::contains;
using asyncvm::test::MadeUpDeath;
using asyncvm::test::put;

namespace {

std::string report_of(const MadeUpDeath& guest) { return format_report(guest.crash()); }

void poll(MadeUpDeath& guest, std::uint64_t port, int times) {
    for (int i = 0; i < times; ++i) guest.port(Direction::read, port, {std::byte{0xff}}, 0x10002);
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_that_runs_is_reported_like_one_that_died) {
    MadeUpDeath guest(Mode::long64, Interrupted{});
    put(guest.memory, 0x10000, {0xe4, 0x64, 0xeb, 0xfc});
    poll(guest, 0x64, 87891);
    const auto report = report_of(guest);
    BOOST_TEST(report.starts_with("running at 0x10000 (vCPU 0)\n"), report);
    BOOST_TEST(contains(report, "in 0x64 -> 0xff (no device) at rip 0x10002, 87891 times\n"), report);
    BOOST_TEST(contains(report,
                        "hint: it reads port 0x64 again and again: the keyboard controller of a PC, which this machine "
                        "does not have"),
               report);
    BOOST_TEST(contains(report, "code (64-bit long mode):"), report);
    BOOST_TEST(contains(report, "registers of vCPU 0:"), report);
    BOOST_TEST(contains(report, "stack at"), report);
}

BOOST_AUTO_TEST_CASE(only_what_is_polled_and_not_there_gets_a_hint) {
    MadeUpDeath guest(Mode::protected32, Interrupted{});
    put(guest.memory, 0x10000, {0xeb, 0xfe});
    poll(guest, 0x3fd, 1000);
    poll(guest, 0x64, 99);
    BOOST_TEST(!contains(report_of(guest), "hint:"), report_of(guest));
    poll(guest, 0x1234, 100);
    BOOST_TEST(contains(report_of(guest), "it reads port 0x1234 again and again: a device, which"), report_of(guest));
}

BOOST_AUTO_TEST_CASE(a_guest_that_fills_memory_which_is_not_there_is_told_how_much_there_is) {
    const std::vector<std::byte> word(4, std::byte{1});
    MadeUpDeath guest(Mode::protected32, Interrupted{});
    put(guest.memory, 0x10000, {0xf3, 0xab, 0xeb, 0xfe});
    for (unsigned i = 0; i < 8; ++i) guest.memory_write(0x100000 + 4 * i, word, 0x10000);
    const std::string hint =
        "hint: it uses memory at 0x10001c, but this machine's ends at 0x100000: does it need more than 1 MiB";
    BOOST_TEST(contains(report_of(guest), hint), report_of(guest));
    MadeUpDeath dead(Mode::protected32, ShutDown{});
    for (unsigned i = 0; i < 8; ++i) dead.memory_write(0x100000 + 4 * i, word, 0x10000);
    BOOST_TEST(contains(report_of(dead), hint), report_of(dead));
    // A few are no habit, and what a PC has up there is no memory.
    MadeUpDeath probing(Mode::protected32, Interrupted{});
    put(probing.memory, 0x10000, {0xf3, 0xab, 0xeb, 0xfe});
    for (unsigned i = 0; i < 7; ++i) probing.memory_write(0x100000 + 4 * i, word, 0x10000);
    for (unsigned i = 0; i < 8; ++i) probing.memory_write(0xfec00000 + 4 * i, word, 0x10000);
    BOOST_TEST(!contains(report_of(probing), "it uses memory"), report_of(probing));
    MadeUpDeath device(Mode::protected32, Interrupted{});
    put(device.memory, 0x10000, {0xf3, 0xab, 0xeb, 0xfe});
    device.device_name = [](Space, std::uint64_t) { return std::string("frame-buffer"); };
    for (unsigned i = 0; i < 16; ++i) device.memory_write(0x100000 + 4 * i, word, 0x10000);
    BOOST_TEST(!contains(report_of(device), "it uses memory"), report_of(device));
}

BOOST_AUTO_TEST_CASE(a_boot_sector_is_told_that_there_is_no_bios) {
    MadeUpDeath guest(Mode::real16, Interrupted{});
    put(guest.memory, 0x10000, {0xeb, 0xfe});
    BOOST_TEST(!contains(report_of(guest), "BIOS"), report_of(guest));
    put(guest.memory, 0x10000 + 510, {0x55, 0xaa});
    BOOST_TEST(
        contains(report_of(guest), "this is a boot sector (0x55aa), and there is no BIOS here: start it with --format boot"),
        report_of(guest));
    // One that has a BIOS waits for a key, as a rule.
    put(guest.memory, 0x13 * 4, {0x00, 0x01, 0x00, 0xf0});
    BOOST_TEST(!contains(report_of(guest), "hint: this is a boot sector"), report_of(guest));
}

BOOST_AUTO_TEST_CASE(an_elf_file_that_runs_as_a_flat_binary_is_told_so) {
    MadeUpDeath guest(Mode::real16, Interrupted{});
    put(guest.memory, 0x10000, {0x7f, 'E', 'L', 'F', 2, 1, 1});
    BOOST_TEST(contains(report_of(guest), "hint: this is an ELF file, and its header was run as code"), report_of(guest));
}

BOOST_AUTO_TEST_CASE(code_for_64_bits_in_16_bit_mode_is_told_so) {
    // mov rax, 0; mov rbx, rax; add rax, rbx; jmp $
    const std::initializer_list<int> code{0x48, 0xc7, 0xc0, 0, 0, 0, 0, 0x48, 0x89, 0xc3, 0x48, 0x01, 0xd8, 0xeb, 0xfe};
    MadeUpDeath guest(Mode::real16, Interrupted{});
    put(guest.memory, 0x10000, code);
    BOOST_TEST(contains(report_of(guest), "hint: this looks like 64-bit code, which was started in 16-bit mode"),
               report_of(guest));
    MadeUpDeath right(Mode::long64, Interrupted{});
    put(right.memory, 0x10000, code);
    BOOST_TEST(!contains(report_of(right), "hint:"), report_of(right));
    MadeUpDeath dead(Mode::real16, ShutDown{});
    put(dead.memory, 0x10000, code);
    BOOST_TEST(contains(report_of(dead), "this looks like 64-bit code"), report_of(dead));
}

BOOST_AUTO_TEST_CASE(code_for_16_bits_does_not_look_like_64_bits) {
    const auto bytes = [](std::initializer_list<std::uint8_t> list) {
        std::vector<std::byte> made;
        for (const auto byte : list) made.push_back(std::byte{byte});
        return made;
    };
    // dec ax; mov dx, 0x3f8; dec ax; jnz; a loop of a driver: one such pair is nothing
    BOOST_TEST(!looks_like_64_bits(bytes({0xba, 0xf8, 0x03, 0x48, 0xb8, 0x01, 0x00, 0x48, 0x75, 0xfd, 0xee, 0xf4})));
    BOOST_TEST(!looks_like_64_bits(bytes({0x48})));
    BOOST_TEST(!looks_like_64_bits({}));
}

BOOST_AUTO_TEST_CASE(an_int_through_an_empty_vector_is_told_that_there_is_no_bios) {
    MadeUpDeath guest(Mode::real16, Interrupted{});
    put(guest.memory, 0x10000, {0xcd, 0x10});
    guest.registers.cs.base = 0;
    guest.registers.cs.selector = 0;
    guest.registers.rip = 0x400;
    BOOST_TEST(contains(report_of(guest), "there is no BIOS here: INT goes through an empty vector"), report_of(guest));
}

BOOST_AUTO_TEST_CASE(a_halt_says_whether_an_interrupt_could_end_it) {
    MadeUpDeath guest(Mode::long64, Interrupted{});
    put(guest.memory, 0x10000, {0xf4, 0xeb, 0xfd});
    guest.registers.rip = 0x10001;
    BOOST_TEST(contains(report_of(guest), "it may wait in HLT with interrupts off"), report_of(guest));
    guest.registers.rflags |= 0x200;
    BOOST_TEST(contains(report_of(guest), "it may wait in HLT for an interrupt"), report_of(guest));
}
