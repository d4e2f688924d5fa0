#include "accelerator_fixture.hpp"

#include <algorithm>
#include <thread>

#include "accel/unicorn/cpuid.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_AUTO_TEST_SUITE(vcpus)

constexpr std::uint64_t load_at = AcceleratorFixture::load_at;

BOOST_AUTO_TEST_CASE(a_read_is_completed_with_its_data_and_nothing_more_is_run) {
    AcceleratorFixture fixture(Mode::real16, {0xe4, 0x10, 0xe6, 0x20, 0xf4});  // in $0x10, %al; out %al, $0x20; hlt
    const Exit exit = fixture.cpu().run();
    BOOST_REQUIRE(std::holds_alternative<PortAccess>(exit));
    BOOST_TEST(fixture.cpu().exit_rip() == 0u);
    std::get<PortAccess>(exit).data[0] = std::byte{0x5a};
    fixture.cpu().complete_exit();
    const Registers registers = fixture.cpu().registers();
    BOOST_TEST(registers.rip == 2u);
    BOOST_TEST((registers.rax & 0xff) == 0x5au);
    fixture.cpu().complete_exit();
    BOOST_TEST(fixture.cpu().registers().rip == 2u);
    BOOST_TEST(fixture.next_out() == 0x5au);
}

BOOST_AUTO_TEST_CASE(a_string_is_completed_up_to_its_current_element) {
    AcceleratorFixture fixture(Mode::real16, {0xb9, 0x03, 0x00, 0xf3, 0x6e, 0xf4});  // mov $3, %cx; rep outsb; hlt
    BOOST_TEST(fixture.next_is<PortAccess>());
    fixture.cpu().complete_exit();
    BOOST_TEST(fixture.cpu().registers().rip == 3u);
    BOOST_TEST(fixture.cpu().registers().rcx == 2u);
    BOOST_TEST(fixture.next_is<PortAccess>());
    BOOST_TEST(fixture.next_is<PortAccess>());
    BOOST_TEST(fixture.next_is<Halted>());
}

BOOST_AUTO_TEST_CASE(both_accesses_of_an_instruction_are_completed) {
    AcceleratorFixture fixture(Mode::protected32, {0xff, 0x05, 0x00, 0x00, 0x00, 0xd0, 0xf4});  // incl 0xd0000000; hlt
    BOOST_TEST(fixture.next_is<MmioAccess>());
    fixture.cpu().complete_exit();
    BOOST_TEST(fixture.cpu().registers().rip == 0x10006u);
    BOOST_TEST(fixture.next_is<Halted>());
}

BOOST_AUTO_TEST_CASE(ins_writes_to_a_device_once) {
    // mov $0x10000000, %edi; mov $0x10, %dx; insb; insl; mov $2, %ecx; rep insw; hlt
    AcceleratorFixture fixture(Mode::protected32, {0xbf, 0,    0,    0,    0x10, 0x66, 0xba, 0x10, 0,    0x6c,
                                                   0x6d, 0xb9, 0x02, 0x00, 0x00, 0x00, 0xf3, 0x66, 0x6d, 0xf4});
    struct Element {
        std::uint64_t address;
        std::size_t size;
    };
    for (const auto& [address, size] : {Element{0x10000000, 1}, {0x10000001, 4}, {0x10000005, 2}, {0x10000007, 2}}) {
        const Exit in = fixture.cpu().run();
        BOOST_REQUIRE(std::holds_alternative<PortAccess>(in));
        std::ranges::fill(std::get<PortAccess>(in).data, std::byte{0x5a});
        const Exit out = fixture.cpu().run();
        BOOST_REQUIRE(std::holds_alternative<MmioAccess>(out));
        const auto& write = std::get<MmioAccess>(out);
        BOOST_TEST((write.direction == Direction::write));
        BOOST_TEST(write.address == address);
        BOOST_TEST(write.data.size() == size);
        BOOST_TEST(std::ranges::all_of(write.data, [](std::byte byte) { return byte == std::byte{0x5a}; }));
    }
    BOOST_TEST(fixture.next_is<Halted>());
}

BOOST_AUTO_TEST_CASE(code_that_a_device_changes_runs_in_its_new_form) {
    // mov $2, %cx; again: call 1f; out %al, $0x60; loop again; hlt; 1: mov $1, %al; ret
    AcceleratorFixture called(Mode::real16, {0xb9, 2, 0, 0xe8, 5, 0, 0xe6, 0x60, 0xe2, 0xf9, 0xf4, 0xb0, 1, 0xc3});
    BOOST_TEST(called.next_out() == 1u);
    called.host_writes(0x1000c, 2);
    BOOST_TEST(called.next_out() == 2u);
    // The rest of the block that is running: out %al, $0x60; mov $1, %al; out %al, $0x60; hlt
    for (const Mode mode : {Mode::real16, Mode::protected32, Mode::long64}) {
        AcceleratorFixture next(mode, {0xe6, 0x60, 0xb0, 1, 0xe6, 0x60, 0xf4});
        next.next_out();
        next.host_writes(load_at + 3, 7);
        BOOST_TEST(next.next_out() == 7u);
        BOOST_TEST(next.next_is<Halted>());
    }
}

BOOST_AUTO_TEST_CASE(code_that_a_debugger_changes_runs_in_its_new_form) {
    for (const Mode mode : {Mode::real16, Mode::protected32, Mode::long64}) {
        BOOST_TEST_INFO_SCOPE("mode " << static_cast<int>(mode));
        // again: mov $1, %al; out %al, $0x60; jmp again
        AcceleratorFixture fixture(mode, {0xb0, 1, 0xe6, 0x60, 0xeb, 0xfa});
        for (std::uint8_t value = 1; value < 4; ++value) {
            fixture.host_writes(load_at + 1, value);
            BOOST_TEST(fixture.next_out() == value);
            fixture.cpu().complete_exit();  // and rests in front of an instruction
        }
        // More places than are kept apart.
        for (unsigned i = 0; i < 1000; ++i) fixture.host_writes(0x20000 + 2 * i, 0);
        fixture.host_writes(load_at + 1, 9);
        for (unsigned i = 0; i < 1000; ++i) fixture.host_writes(0x30000 + 2 * i, 0);
        BOOST_TEST(fixture.next_out() == 9u);
    }
}

BOOST_AUTO_TEST_CASE(each_vcpu_hears_of_changed_code) {
    AcceleratorFixture fixture(Mode::real16, {0xb0, 1, 0xe6, 0x60, 0xeb, 0xfa}, 2);
    for (std::uint8_t value = 1; value < 4; ++value) {
        fixture.host_writes(load_at + 1, value);
        for (const auto& cpu : fixture.cpus) {
            const Exit exit = cpu->run();
            BOOST_REQUIRE(std::holds_alternative<PortAccess>(exit));
            BOOST_TEST(std::to_integer<unsigned>(std::get<PortAccess>(exit).data[0]) == value);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_halted_vcpu_can_go_on) {
    AcceleratorFixture fixture(Mode::long64, {0xf4, 0xb0, 0x07, 0xe6, 0x20, 0xf4});  // hlt; mov $7, %al; out %al, $0x20; hlt
    BOOST_TEST(fixture.next_is<Halted>());
    BOOST_TEST(fixture.cpu().registers().rip == 0x10001u);
    BOOST_TEST(fixture.next_out() == 7u);
    BOOST_TEST(fixture.next_is<Halted>());
}

BOOST_AUTO_TEST_CASE(new_registers_start_anew_from_wherever_the_vcpu_was) {
    AcceleratorFixture fixture(Mode::real16, {0xe6, 0x20, 0xe4, 0x10, 0xe6, 0x20, 0xf4});
    fixture.start.rax = 0x11;
    fixture.cpu().set_registers(fixture.start);
    BOOST_TEST(fixture.next_out() == 0x11u);
    BOOST_TEST(fixture.next_is<PortAccess>());  // suspended in a read now
    fixture.start.rax = 0x22;
    fixture.cpu().set_registers(fixture.start);
    BOOST_TEST(fixture.cpu().registers().rax == 0x22u);
    BOOST_TEST(fixture.next_out() == 0x22u);
}

BOOST_AUTO_TEST_CASE(a_vcpu_may_be_left_in_the_middle_of_an_access) {
    for (const Mode mode : {Mode::real16, Mode::protected32, Mode::long64}) {
        AcceleratorFixture fixture(mode, {0xe4, 0x10, 0xe6, 0x20, 0xf4});
        BOOST_TEST(fixture.next_is<PortAccess>());
    }
    AcceleratorFixture never_run(Mode::long64, {0xf4});
}

BOOST_AUTO_TEST_CASE(the_state_that_was_set_is_the_state_that_is_read) {
    for (const Mode mode : {Mode::real16, Mode::protected32, Mode::long64}) {
        AcceleratorFixture fixture(mode, {0xf4});
        fixture.start.rcx = 0x12345678;
        fixture.start.rflags = 0x8d7;
        fixture.cpu().set_registers(fixture.start);
        BOOST_TEST(fixture.next_is<Halted>());
        const Registers now = fixture.cpu().registers();
        const Registers& start = fixture.start;
        BOOST_TEST(now.rip == start.rip + 1);
        BOOST_TEST(now.rcx == start.rcx);
        BOOST_TEST(now.rsp == start.rsp);
        BOOST_TEST(now.rflags == start.rflags);
        BOOST_TEST(now.cr0 == start.cr0);
        BOOST_TEST(now.cr3 == start.cr3);
        BOOST_TEST(now.cr4 == start.cr4);
        BOOST_TEST(now.efer == start.efer);
        BOOST_TEST(now.gdt.base == start.gdt.base);
        BOOST_TEST(now.gdt.limit == start.gdt.limit);
        BOOST_TEST(now.idt.limit == start.idt.limit);
        for (const auto segment : {&Registers::cs, &Registers::ds, &Registers::es, &Registers::fs, &Registers::gs,
                                   &Registers::ss, &Registers::tr}) {
            BOOST_TEST((now.*segment).selector == (start.*segment).selector);
            BOOST_TEST((now.*segment).base == (start.*segment).base);
            BOOST_TEST((now.*segment).limit == (start.*segment).limit);
            BOOST_TEST((now.*segment).long_mode == (start.*segment).long_mode);
            BOOST_TEST((now.*segment).default_32 == (start.*segment).default_32);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_fault_leaves_the_state_of_its_instruction) {
    AcceleratorFixture fixture(Mode::protected32, {0x90, 0x41, 0x0f, 0x0b});  // nop; inc %ecx; ud2
    BOOST_TEST(fixture.next_is<ShutDown>());
    BOOST_TEST(fixture.cpu().registers().rip == 0x10002u);
    BOOST_TEST(fixture.cpu().exit_rip() == 0x10002u);
    BOOST_TEST(fixture.cpu().registers().rcx == 1u);
}

BOOST_AUTO_TEST_CASE(an_invalid_opcode_reaches_a_real_mode_handler) {
    AcceleratorFixture fixture(Mode::real16, {0x0f, 0x0b});  // ud2
    fixture.put(4 * 6, 0x1200'0034);
    fixture.write(0x12034, {0x5b, 0x8b, 0xc3, 0xe7, 0x20, 0xf4});  // pop %bx; mov %bx, %ax; out %ax, $0x20; hlt
    BOOST_TEST(fixture.next_out() == 0u);
    BOOST_TEST(fixture.cpu().exit_rip() == 0x37u);
    BOOST_TEST(fixture.next_is<Halted>());
    BOOST_TEST(fixture.cpu().registers().cs.selector == 0x1200);
}

BOOST_AUTO_TEST_CASE(a_software_interrupt_reaches_its_gate_and_comes_back) {
    // int $0x30; mov $1, %al; out %al, $0x20; hlt; handler: mov $2, %al; out %al, $0x20; iretq
    AcceleratorFixture fixture(Mode::long64, {0xcd, 0x30, 0xb0, 0x01, 0xe6, 0x20, 0xf4, 0xb0, 0x02, 0xe6, 0x20, 0x48, 0xcf});
    fixture.put(0x20000 + 16 * 0x30, 0x0001'8e00'0008'0007);
    fixture.start.idt = {0x20000, 0xfff};
    fixture.cpu().set_registers(fixture.start);
    BOOST_TEST(fixture.next_out() == 2u);
    BOOST_TEST(fixture.next_out() == 1u);
    BOOST_TEST(fixture.next_is<Halted>());
    BOOST_TEST(fixture.cpu().registers().rsp == fixture.start.rsp);
}

BOOST_AUTO_TEST_CASE(devices_in_memory_see_whole_accesses) {
    // mov $0xd0000ffe, %ebx; mov (%ebx), %eax; mov %eax, 3(%ebx); hlt
    AcceleratorFixture fixture(Mode::protected32, {0xbb, 0xfe, 0x0f, 0x00, 0xd0, 0x8b, 0x03, 0x89, 0x43, 0x03, 0xf4});
    const auto next = [&](Direction direction, std::uint64_t address, std::size_t size) {
        const Exit exit = fixture.cpu().run();
        const auto* const access = std::get_if<MmioAccess>(&exit);
        BOOST_REQUIRE(access != nullptr);
        BOOST_TEST((access->direction == direction));
        BOOST_TEST(access->address == address);
        BOOST_TEST(access->data.size() == size);
        if (direction == Direction::read) {
            for (std::size_t i = 0; i < size; ++i) access->data[i] = std::byte((address + i) & 0xff);
        }
        return *access;
    };
    next(Direction::read, 0xd0000ffe, 2);
    next(Direction::read, 0xd0001000, 2);
    const MmioAccess written = next(Direction::write, 0xd0001001, 4);
    for (std::size_t i = 0; i < 4; ++i) BOOST_TEST(std::to_integer<unsigned>(written.data[i]) == ((0xfe + i) & 0xff));
    BOOST_TEST(fixture.next_is<Halted>());
}

BOOST_AUTO_TEST_CASE(each_vcpu_has_its_own_identity) {
    // mov $1, %eax; cpuid; mov %ebx, %eax; out %eax, $0x20; hlt
    AcceleratorFixture fixture(Mode::protected32, {0xb8, 1, 0, 0, 0, 0x0f, 0xa2, 0x89, 0xd8, 0xe7, 0x20, 0xf4}, 3);
    for (unsigned index = 0; index < 3; ++index) {
        const Exit exit = fixture.cpus[index]->run();
        BOOST_REQUIRE(std::holds_alternative<PortAccess>(exit));
        BOOST_TEST(std::to_integer<unsigned>(std::get<PortAccess>(exit).data[3]) == index);
    }
    BOOST_TEST(unicorn::cpuid(0, 0, 0).eax == 7u);
    BOOST_TEST((unicorn::cpuid(0x8000'0001, 0, 0).edx >> 29 & 1) == 1u);
    BOOST_TEST(unicorn::cpuid(0x4000'0000, 0, 0).eax == 0u);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(refusals)

BOOST_AUTO_TEST_CASE(what_unicorn_would_run_wrongly_is_named) {
    // push $0x23; push $0x10000; lret: to ring 3
    AcceleratorFixture user(Mode::protected32, {0x6a, 0x23, 0x68, 0x00, 0x00, 0x01, 0x00, 0xcb});
    user.put(0x30000 + 0x20, 0x00cf'fb00'0000'ffff);
    user.put(0x30000 + 0x28, 0x00cf'f300'0000'ffff);
    user.put(0x30000 + 0x08, 0x00cf'9b00'0000'ffff);
    user.put(0x30000 + 0x10, 0x00cf'9300'0000'ffff);
    user.start.gdt = {0x30000, 0x2f};
    user.put(user.start.rsp - 8, 0);
    user.start.rsp = 0x40000;
    user.put(0x40000, 0x0000'002b'0004'0000);  // the stack of ring 3
    user.cpu().set_registers(user.start);
    BOOST_TEST(user.next_refusal() == "user mode");

    AcceleratorFixture syscall(Mode::long64, {0x90, 0x0f, 0x05, 0xf4});
    BOOST_TEST(syscall.next_refusal() == "SYSCALL and SYSENTER");
    BOOST_TEST(syscall.cpu().registers().rip == 0x10001u);

    AcceleratorFixture nowhere(Mode::protected32, {0xb8, 0x00, 0x00, 0x00, 0xd0, 0xff, 0xe0});  // jmp *0xd0000000
    BOOST_TEST(nowhere.next_refusal() == "an instruction lies where there is no memory");
    BOOST_TEST(nowhere.cpu().registers().rip == 0xd0000000u);
}

BOOST_AUTO_TEST_CASE(a_page_that_is_not_its_own_address_is_refused_when_it_is_touched) {
    // mov $0x200000, %eax; mov (%rax), %ecx; out %al, $0x20; mov %cr3, %rcx; mov %rcx, %cr3; mov (%rax), %ecx; hlt
    AcceleratorFixture fixture(Mode::long64, {0xb8, 0x00, 0x00, 0x20, 0x00, 0x8b, 0x08, 0xe6, 0x20, 0x0f, 0x20, 0xd9, 0x0f,
                                              0x22, 0xd9, 0x8b, 0x08, 0xf4});
    BOOST_TEST(fixture.next_is<MmioAccess>());
    BOOST_TEST(fixture.next_is<PortAccess>());
    fixture.put(GuestMemory::boot_tables_base + boot_layout::page_directories + 8, 0x00083);  // 2 MiB now lead to 0
    BOOST_TEST(fixture.next_refusal() == "page tables that do not map each address to itself");
    BOOST_TEST(fixture.cpu().registers().rip == 0x1000fu);
}

BOOST_AUTO_TEST_CASE(a_start_that_cannot_be_had_is_an_error) {
    AcceleratorFixture fixture(Mode::protected32, {0xf4});
    fixture.start.cs.selector = 0x0b;
    fixture.start.cs.dpl = 3;
    fixture.cpu().set_registers(fixture.start);
    BOOST_CHECK_THROW(static_cast<void>(fixture.cpu().run()), std::exception);
}

BOOST_AUTO_TEST_SUITE_END()
