// The debugger's server on a host that delivers all of a debugger's exits: INT3, watchpoints, hardware breakpoints, steps.
#define BOOST_TEST_MODULE gdb_usual_host
#include "usual_machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using namespace asyncvm;
using namespace asyncvm::test;

namespace {

/// A stop reply's reason and program counter.
std::string said(const std::string& reply) {
    const auto place = [&](std::string_view number, std::size_t digits) -> std::string {
        const auto at = reply.find(number);
        if (at == std::string::npos) return {};
        const std::string text = reply.substr(at + number.size(), digits);
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < text.size(); i += 2) value |= std::stoull(text.substr(i, 2), nullptr, 16) << (4 * i);
        return fmt::format("{:x}", value);
    };
    std::string reason = reply.substr(3, reply.find(';') - 3);
    if (reason.starts_with("8:") || reason.starts_with("10:")) reason = "nothing";
    const std::string pc = reply.find("10:") != std::string::npos ? place("10:", 16) : place("8:", 8);
    return fmt::format("{} {} at {}", reply.substr(0, 3), reason, pc);
}

std::string eax(const std::string& registers) { return registers.substr(0, 8); }

constexpr std::uint32_t sw_bp = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP;
constexpr std::uint32_t hw_bp = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_HW_BP;

// At 0x10001: inc eax; jmp to it.
constexpr std::initializer_list<std::uint8_t> spin{0x90, 0x40, 0xeb, 0xfd};

}  // namespace

BOOST_AUTO_TEST_CASE(a_software_breakpoint_is_an_int3_while_the_guest_runs) {
    Debugged guest(spin);
    BOOST_TEST(guest.ask("Z0,10001,1") == "OK");
    BOOST_TEST(guest.ask("m10000,4") == "9040ebfd");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    BOOST_TEST(guest.seen.controls.back() == sw_bp);
    BOOST_TEST(guest.seen.executed == 1u);
    BOOST_TEST(guest.ask("m10000,4") == "9040ebfd");
    // As gdb goes over it.
    for (const char* const count : {"01000000", "02000000", "03000000"}) {
        BOOST_TEST(guest.ask("z0,10001,1") == "OK");
        BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10002");
        BOOST_TEST(guest.ask("Z0,10001,1") == "OK");
        BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
        BOOST_TEST(eax(guest.ask("g")) == count);
    }
    BOOST_TEST(guest.ask("D") == "OK");
    while (guest.seen.executed < 1000) std::this_thread::yield();
    BOOST_TEST(guest.seen.int3s.empty());
    const std::lock_guard lock(guest.seen.mutex);
    BOOST_TEST(guest.seen.controls.back() == 0u);
}

BOOST_AUTO_TEST_CASE(both_kinds_in_64_bits) {
    // inc eax is two bytes there: nops will do.
    Debugged guest({0x90, 0x90, 0x90, 0xeb, 0xfb}, Mode::long64);
    BOOST_TEST(guest.ask("Z0,10002,1") == "OK");
    BOOST_TEST(guest.ask("Z1,10003,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10002");
    BOOST_TEST(guest.ask("z0,10002,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 hwbreak: at 10003");
    BOOST_TEST(guest.seen.controls.back() == hw_bp);
}

BOOST_AUTO_TEST_CASE(the_guest_s_own_int3_is_given_back_once) {
    // int3; inc eax; int3; inc eax; nop; jmp
    Debugged guest({0xcc, 0x40, 0xcc, 0x40, 0x90, 0xeb, 0xfd});
    BOOST_TEST(guest.ask("Z0,10004,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10004");
    const std::vector<std::uint64_t> expected{0x10001, 0x10003};
    BOOST_TEST(guest.seen.int3s == expected, boost::test_tools::per_element());
    BOOST_TEST(eax(guest.ask("g")) == "02000000");
}

BOOST_AUTO_TEST_CASE(an_int3_of_the_guest_under_a_breakpoint_is_a_breakpoint) {
    Debugged guest({0x90, 0xcc, 0x40, 0xeb, 0xfe});
    BOOST_TEST(guest.ask("Z0,10001,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    BOOST_TEST(guest.ask("m10001,1") == "cc");
    BOOST_TEST(guest.ask("z0,10001,1") == "OK");
    BOOST_TEST(guest.ask("Z0,10003,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10003");
    BOOST_TEST(guest.seen.int3s.size() == 1u);
}

BOOST_AUTO_TEST_CASE(code_that_runs_at_another_address_than_its_breakpoint_s) {
    // int3; nop; nop; jmp to the second nop
    for (const unsigned cpus : {1u, 2u}) {
        Debugged guest({0xcc, 0x90, 0x90, 0xeb, 0xfd}, Mode::long64, cpus);
        // 2 MiB at 0x40000000 are those at 0.
        BOOST_TEST(guest.ask("Qqemu.PhyMemMode:1") == "OK");
        const auto entry = [&](std::uint64_t place) {
            const std::string text = guest.ask(fmt::format("m{:x},8", place));
            return std::stoull(text.substr(6, 2) + text.substr(4, 2) + text.substr(2, 2) + text.substr(0, 2), nullptr, 16) &
                   ~0xfffull;
        };
        const std::uint64_t directory = entry(entry(GuestMemory::boot_tables_base) + 8);
        BOOST_TEST(guest.ask(fmt::format("M{:x},8:8300000000000000", directory)) == "OK");
        BOOST_TEST(guest.ask("Qqemu.PhyMemMode:0") == "OK");
        BOOST_TEST(guest.ask("m40010000,4") == "cc9090eb");
        for (const char* const packet : {"Z0,40010000,1", "Z0,40010001,1", "Z0,10002,1"})
            BOOST_TEST(guest.ask(packet) == "OK");
        if (cpus == 1) {
            BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10002");
            // Under the first there is one of the guest's own.
            const std::vector<std::uint64_t> expected{0x10001};
            BOOST_TEST(guest.seen.int3s == expected, boost::test_tools::per_element());
        } else {
            BOOST_TEST(said(guest.ask("vCont;c")) == "T05 nothing at 10000");
        }
    }
}

BOOST_AUTO_TEST_CASE(without_breakpoints_the_guest_s_int3_does_not_leave_it) {
    Debugged guest({0xcc, 0xcc, 0xf4});
    BOOST_TEST(guest.ask("vCont;c") == "W00");
    guest.end();
    BOOST_TEST(guest.seen.int3s.size() == 2u);
    BOOST_TEST(std::ranges::count(guest.seen.controls, 0u) == static_cast<long>(guest.seen.controls.size()));
}

// eax == 5, as gdb compiles it.
constexpr std::string_view eax_is_5 = ";X7,26000022051327";

BOOST_AUTO_TEST_CASE(a_condition_that_does_not_hold_is_gone_over) {
    for (const char* const kind : {"0", "1"}) {
        Debugged guest(spin);
        BOOST_TEST(guest.ask(fmt::format("Z{},10001,1{}", kind, eax_is_5)) == "OK");
        const std::string reason = *kind == '0' ? "swbreak" : "hwbreak";
        BOOST_TEST(said(guest.ask("vCont;c")) == fmt::format("T05 {}: at 10001", reason));
        BOOST_TEST(eax(guest.ask("g")) == "05000000");
        // NOP, and five turns of two instructions: each once.
        BOOST_TEST(guest.seen.executed == 11u);
        BOOST_TEST(guest.ask("m10000,4") == "9040ebfd");
        const auto over = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
        BOOST_TEST(std::ranges::count_if(guest.seen.controls, [&](auto control) { return (control & over) == over; }) == 5);
        BOOST_TEST((guest.seen.controls.back() & KVM_GUESTDBG_SINGLESTEP) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(the_guest_s_int3_under_a_condition) {
    // int3; inc eax; jmp to the int3
    Debugged guest({0xcc, 0x40, 0xeb, 0xfc});
    BOOST_TEST(guest.ask("Z0,10000,1" + std::string(eax_is_5)) == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10000");
    BOOST_TEST(eax(guest.ask("g")) == "05000000");
    BOOST_TEST(guest.seen.int3s.size() == 5u);
}

BOOST_AUTO_TEST_CASE(conditions_with_two_vcpus) {
    Debugged guest(spin, Mode::protected32, 2);
    BOOST_TEST(guest.ask("Z0,10001,1" + std::string(eax_is_5)) == "OK");
    // Each comes to it, whether at the same moment or not; gdb takes the breakpoint away to let the first go on alone.
    const std::string first = guest.ask("vCont;c");
    BOOST_TEST(said(first) == "T05 swbreak: at 10001");
    const bool second_came = first.find("thread:2;") != std::string::npos;
    BOOST_TEST(eax(guest.ask("g")) == "05000000");
    BOOST_TEST(guest.ask("z0,10001,1") == "OK");
    BOOST_TEST(said(guest.ask(second_came ? "vCont;s:2" : "vCont;s:1")) == "T05 nothing at 10002");
    BOOST_TEST(guest.ask("Z0,10001,1" + std::string(eax_is_5)) == "OK");
    const std::string other = guest.ask("vCont;c");
    BOOST_TEST((other.find(second_came ? "thread:1;" : "thread:2;") != std::string::npos), other);
    BOOST_TEST(eax(guest.ask("g")) == "05000000");
    BOOST_TEST((guest.seen.controls.back() & KVM_GUESTDBG_USE_SW_BP) == 0u);
}

BOOST_AUTO_TEST_CASE(an_int3_stays_where_another_vcpu_would_run_past_it) {
    Debugged guest(spin, Mode::protected32, 2);
    for (const char* const slot : {"20000", "20001", "20002", "20003"})
        BOOST_TEST(guest.ask(fmt::format("Z1,{},1", slot)) == "OK");
    BOOST_TEST(guest.ask("Z0,10001,1" + std::string(eax_is_5)) == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    // gdb evaluates it.
    BOOST_TEST(eax(guest.ask("g")) == "00000000");
    // Alone a vCPU may go over it.
    BOOST_TEST(said(guest.ask("vCont;c:1")) == "T05 swbreak: at 10001");
    BOOST_TEST(eax(guest.ask("g")) == "05000000");
}

/// dprintf *0x10001,"%d,",$eax, which stays when gdb is gone, as gdb compiles it.
constexpr std::string_view print_eax = ";cmds:1,X12,2600001620220022003401000425642c0027";
std::string insert_print(std::string_view conditions = "") { return fmt::format("Z0,10001,1{}{}", conditions, print_eax); }

BOOST_AUTO_TEST_CASE(a_dprintf_is_shown_before_the_stop_and_does_not_stop) {
    for (const unsigned cpus : {1u, 2u}) {
        Debugged guest(spin, Mode::protected32, cpus);
        BOOST_TEST(guest.ask(insert_print()) == "OK");
        BOOST_TEST(guest.ask("Z1,10002,1;X7,26000022041327") == "OK");
        std::string reply = guest.ask("vCont;c:1");
        std::string shown;
        for (; reply.starts_with('O'); reply = guest.receive()) shown += reply.substr(1);
        // "0,1,2,3,"
        BOOST_TEST(shown == "302c312c322c332c");
        BOOST_TEST(said(reply) == "T05 hwbreak: at 10002");
        BOOST_TEST(guest.ask("m10000,4") == "9040ebfd");
    }
}

BOOST_AUTO_TEST_CASE(a_dprintf_is_shown_before_the_guest_s_end) {
    // inc eax; inc eax; hlt
    Debugged guest({0x40, 0x40, 0xf4});
    BOOST_TEST(guest.ask(insert_print()) == "OK");
    std::string reply = guest.ask("vCont;c");
    BOOST_TEST(reply == "O312c");
    BOOST_TEST(guest.receive() == "W00");
    guest.end();
}

BOOST_AUTO_TEST_CASE(a_dprintf_is_shown_once_however_its_place_is_come_to_and_left) {
    Debugged guest(spin);
    BOOST_TEST(guest.ask(insert_print()) == "OK");
    BOOST_TEST(guest.ask("vCont;s:1") == "O302c");
    BOOST_TEST(said(guest.receive()) == "T05 nothing at 10001");
    // Over it with a step, with the breakpoint there, and away.
    BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10002");
    BOOST_TEST(guest.ask("vCont;s:1") == "O312c");
    BOOST_TEST(said(guest.receive()) == "T05 nothing at 10001");
    BOOST_TEST(guest.ask("z0,10001,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10002");
    BOOST_TEST(guest.ask(insert_print()) == "OK");
    BOOST_TEST(guest.ask("vCont;s:1") == "O322c");
    BOOST_TEST(said(guest.receive()) == "T05 nothing at 10001");
    // And by going on.
    BOOST_TEST(guest.ask("Z1,10002,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 hwbreak: at 10002");
    // A vCPU that is put elsewhere comes anew.
    BOOST_TEST(guest.ask("P8=00000100") == "OK");
    BOOST_TEST(guest.ask("vCont;c") == "O332c");
    BOOST_TEST(said(guest.receive()) == "T05 hwbreak: at 10002");
}

BOOST_AUTO_TEST_CASE(a_range_and_a_dprintf_within) {
    Debugged guest(spin);
    BOOST_TEST(guest.ask(insert_print()) == "OK");
    BOOST_TEST(guest.ask("vCont;r10000,10002:1") == "O302c");
    BOOST_TEST(said(guest.receive()) == "T05 nothing at 10002");
    BOOST_TEST(guest.ask("vCont;r10002,10004:1") == "O312c");
    BOOST_TEST(said(guest.receive()) == "T05 nothing at 10001");
}

BOOST_AUTO_TEST_CASE(a_breakpoint_that_gdb_lets_pass_without_a_step_is_gone_over) {
    Debugged guest(spin);
    BOOST_TEST(guest.ask("Z0,10001,1") == "OK");
    BOOST_TEST(guest.ask("Z1,10002,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    const std::string told = guest.ask("vCont;c");
    BOOST_TEST(told.starts_with("O3c"), told);
    BOOST_TEST(said(guest.receive()) == "T05 hwbreak: at 10002");
    BOOST_TEST(eax(guest.ask("g")) == "01000000");
    // Once for a place.
    BOOST_TEST(guest.ask("z1,10002,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    BOOST_TEST(eax(guest.ask("g")) == "02000000");
    // What gdb has done anything about counts.
    BOOST_TEST(guest.ask("Z0,10001,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    BOOST_TEST(eax(guest.ask("g")) == "02000000");
}

BOOST_AUTO_TEST_CASE(a_range_is_left_by_its_end_or_a_breakpoint) {
    Debugged guest(spin);
    BOOST_TEST(said(guest.ask("vCont;r10000,10002:1")) == "T05 nothing at 10002");
    BOOST_TEST(guest.ask("Z0,10001,1" + std::string(eax_is_5)) == "OK");
    BOOST_TEST(said(guest.ask("vCont;r10000,10004:1")) == "T05 swbreak: at 10001");
    BOOST_TEST(eax(guest.ask("g")) == "05000000");
}

BOOST_AUTO_TEST_CASE(a_range_goes_on_at_its_first_instruction) {
    Debugged guest(spin);
    BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10001");
    BOOST_TEST(guest.ask("Z1,10002,1" + std::string(eax_is_5)) == "OK");
    BOOST_TEST(said(guest.ask("vCont;r10001,10004:1")) == "T05 hwbreak: at 10002");
    BOOST_TEST(eax(guest.ask("g")) == "05000000");
}

BOOST_AUTO_TEST_CASE(most_steps_are_made_on_the_debugger_s_own_thread) {
    // inc eax; jmp to it; nop; hlt
    Debugged guest({0x40, 0xeb, 0xfd, 0x90, 0xf4});
    for (int turn = 1; turn <= 50; ++turn) {
        BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10001");
        BOOST_TEST(eax(guest.ask("g")) == fmt::format("{:02x}000000", turn));
        BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10000");
    }
    BOOST_TEST(guest.seen.executed == 100u);
    BOOST_TEST(guest.seen.entered_elsewhere > 80u);
    // Devices get on between them.
    BOOST_TEST(guest.seen.entered_elsewhere < 96u);
    BOOST_TEST(guest.ask("P8=03000100") == "OK");
    BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10004");
    // What is no stop is for the vCPU's own thread.
    BOOST_TEST(guest.ask("vCont;s:1") == "W00");
    guest.end();
}

BOOST_AUTO_TEST_CASE(hardware_breakpoints) {
    Debugged guest(spin);
    for (const char* const packet : {"Z1,10001,1", "Z1,10002,1"}) BOOST_TEST(guest.ask(packet) == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 hwbreak: at 10001");
    BOOST_TEST(guest.ask("z1,10001,1") == "OK");
    // Both: the end of a step, in front of a breakpoint.
    BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10002");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 hwbreak: at 10002");
    BOOST_TEST(guest.seen.executed == 2u);
}

BOOST_AUTO_TEST_CASE(watchpoints) {
    // mov eax, [ebx]; inc dword [ebx]; jmp
    Debugged guest({0x8b, 0x03, 0xff, 0x03, 0xeb, 0xfa});
    guest.change([](Registers& registers) { registers.rbx = 0x20004; });
    BOOST_TEST(guest.ask("Z3,20004,4") == "");
    BOOST_TEST(guest.ask("Z2,20004,4") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 watch:20004 at 10004");
    BOOST_TEST(guest.seen.controls.back() == hw_bp);
    BOOST_TEST(guest.ask("m20004,4") == "01000000");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 watch:20004 at 10004");
    BOOST_TEST(guest.ask("z2,20004,4") == "OK");
    BOOST_TEST(guest.ask("Z4,20006,2") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 awatch:20006 at 10002");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 awatch:20006 at 10004");
    // A step that meets it.
    BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 nothing at 10000");
    BOOST_TEST(said(guest.ask("vCont;s:1")) == "T05 awatch:20006 at 10002");
}

BOOST_AUTO_TEST_CASE(a_watchpoint_that_fits_no_register_is_looked_at_after_each_step) {
    Debugged guest({0x90, 0xff, 0x03, 0x90, 0xeb, 0xfa});
    guest.change([](Registers& registers) { registers.rbx = 0x20003; });
    BOOST_TEST(guest.ask("Z2,20003,3") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 watch:20003 at 10003");
    BOOST_TEST((guest.seen.controls.back() & KVM_GUESTDBG_SINGLESTEP) != 0);
}

BOOST_AUTO_TEST_CASE(the_fifth_hardware_breakpoint_is_found_step_by_step) {
    Debugged guest({0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xeb, 0xf8});
    for (const char* const packet : {"Z1,20001,1", "Z1,20002,1", "Z1,20003,1", "Z1,10002,1", "Z1,10004,1"})
        BOOST_TEST(guest.ask(packet) == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 hwbreak: at 10002");
    BOOST_TEST(guest.ask("z1,10002,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 hwbreak: at 10004");
}

BOOST_AUTO_TEST_CASE(a_code_segment_whose_addresses_wrap_around) {
    // Kernels that run in the higher half before they have paging: base 0x40000000, and 0xc0010000 is at 0x10000.
    for (const char* const set : {"Z0,10001,1", "Z1,10001,1"}) {
        Debugged guest(spin);
        guest.change([](Registers& registers) {
            registers.cs.base = 0x4000'0000;
            registers.rip = 0xc001'0000;
        });
        BOOST_TEST(guest.ask(set) == "OK");
        BOOST_TEST(said(guest.ask("vCont;c")).ends_with("break: at 10001"));
        BOOST_TEST(guest.seen.int3s.empty());
    }
}

BOOST_AUTO_TEST_CASE(a_guest_that_steps_through_its_own_code_keeps_that_beside_breakpoints) {
    Debugged guest(spin);
    guest.change([](Registers& registers) { registers.rflags |= 1u << 8; });
    BOOST_TEST(guest.ask("Z1,10002,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 hwbreak: at 10002");
    const std::vector<std::uint64_t> expected{1u << 14};
    BOOST_TEST(guest.seen.debug_traps == expected, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(two_vcpus_at_one_breakpoint) {
    Debugged guest(spin, Mode::protected32, 2);
    BOOST_TEST(guest.ask("Z0,10001,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;c")) == "T05 swbreak: at 10001");
    // Whichever it was, each stands in front of the instruction, or has not come to it.
    for (const char* const thread : {"Hg1", "Hg2"}) {
        BOOST_TEST(guest.ask(thread) == "OK");
        BOOST_TEST(eax(guest.ask("g")) == "00000000");
    }
    BOOST_TEST(guest.ask("z0,10001,1") == "OK");
    BOOST_TEST(said(guest.ask("vCont;s:2")).starts_with("T05 nothing"));
}
