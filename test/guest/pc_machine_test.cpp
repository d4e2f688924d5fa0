// The pc machine as a guest finds it: its tables, its CPUs, what CPUID says of them.
#define BOOST_TEST_MODULE pc_machine
#include <asyncvm/board.hpp>
#include <asyncvm/open_chardev.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "boot/bios_stub.hpp"
#include "guest_code.hpp"
#include "machine_fixture.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

// Looks for the RSDP, goes by the RSDT to the MADT and counts the local APICs there: to port 0x50. Writes to port 0x51
// what it could not find: 1 the RSDP, 2 the MADT. All tables are in the segment 0xe000.
GUEST_CODE(acpi_guest, 16, R"(
    mov $0xe000, %ax
    mov %ax, %ds
    xor %si, %si
1:  cmpl $0x20445352, (%si)         # "RSD "
    jne 2f
    cmpl $0x20525450, 4(%si)        # "PTR "
    je 3f
2:  add $16, %si
    jnz 1b
    mov $1, %al
    out %al, $0x51
    hlt
3:  mov 16(%si), %di                # the RSDT
    mov 4(%di), %cx
    add %di, %cx                    # its end
    add $36, %di
4:  cmp %cx, %di
    jae 5f
    mov (%di), %si
    cmpl $0x43495041, (%si)         # "APIC"
    je 6f
    add $4, %di
    jmp 4b
5:  mov $2, %al
    out %al, $0x51
    hlt
6:  mov 4(%si), %cx
    add %si, %cx                    # its end
    add $44, %si
    xor %ax, %ax
7:  cmp %cx, %si
    jae 9f
    cmpb $0, (%si)
    jne 8f
    inc %ax
8:  movzbw 1(%si), %bx
    add %bx, %si
    jmp 7b
9:  out %al, $0x50
    hlt
)")

// Takes IRQ 11 at the vector that a BIOS gives it, without a word to the interrupt controllers: port 0x51 says what they
// mask, port 0x50 that it has come.
GUEST_CODE(bios_vector_guest, 16, R"(
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x8000, %sp
    movw $(2f - 0b), 0x1cc          # 4 * 0x73
    mov %cs, 0x1ce
    in $0xa1, %al
    mov %al, %ah
    in $0x21, %al
    out %ax, $0x51
    out %al, $0x58                  # asks for the interrupt
1:  sti
    hlt
    jmp 1b
2:  out %al, $0x50
    cli
    hlt
)")

// Looks for the MP floating pointer and counts the processors of the configuration table, as xv6 does: to port 0x50.
GUEST_CODE(mp_guest, 16, R"(
    mov $0xf000, %ax
    mov %ax, %ds
    xor %si, %si
1:  cmpl $0x5f504d5f, (%si)         # "_MP_"
    je 3f
    add $16, %si
    jnz 1b
    mov $1, %al
    out %al, $0x51
    hlt
3:  mov 4(%si), %si                 # the configuration table
    mov 34(%si), %cx                # its entries
    add $44, %si
    xor %ax, %ax
4:  cmpb $0, (%si)
    jne 5f
    inc %ax
    add $12, %si
5:  add $8, %si
    loop 4b
    out %al, $0x50
    hlt
)")

// The CPU that boots starts all others with INIT and SIPI, at this code. Each writes what it is to its ports, and halts.
GUEST_CODE(cpus_guest, 16, R"(
    mov $0x1b, %ecx
    rdmsr
    bt $8, %eax
    jnc 1f
    or $0xc00, %eax
    wrmsr
    mov $0x830, %ecx
    xor %edx, %edx
    mov $0xc4500, %eax
    wrmsr
    mov $0xc4610, %eax
    wrmsr
1:  mov $1, %eax
    cpuid
    mov %ecx, %esi
    mov %ebx, %eax
    mov $0x51, %dx
    out %eax, %dx
    mov %esi, %eax
    mov $0x52, %dx
    out %eax, %dx
    mov $0xb, %eax
    mov $1, %ecx
    cpuid
    mov %ebx, %eax
    mov %edx, %esi
    mov $0x53, %dx
    out %eax, %dx
    mov %esi, %eax
    mov $0x54, %dx
    out %eax, %dx
    mov $0x40000000, %eax
    cpuid
    mov $0x55, %dx
    out %eax, %dx
    mov $0x40000010, %eax
    cpuid
    mov %ebx, %esi
    mov $0x56, %dx
    out %eax, %dx
    mov %esi, %eax
    mov $0x57, %dx
    out %eax, %dx
    mov $0, %eax
    mov $0x50, %dx                  # that was all
    out %eax, %dx
    cli
    hlt
)")

// What fw_cfg and CMOS RAM say of the number of CPUs: to ports 0x52 and 0x51. Then it powers off, as ACPI tables say: SLP_EN
// and SLP_TYP 5 to PM1a control.
GUEST_CODE(board_guest, 16, R"(
    mov $5, %ax
    mov $0x510, %dx
    out %ax, %dx
    inc %dx
    in %dx, %al
    out %al, $0x52
    mov $0x5f, %al
    out %al, $0x70
    in $0x71, %al
    out %al, $0x51
    mov $0x3400, %ax
    mov $0x604, %dx
    out %ax, %dx
    hlt
)")

// Asks a BIOS for the memory map.
GUEST_CODE(bios_call_guest, 16, R"(
    xor %ax, %ax
    mov %ax, %ss
    mov $0x8000, %sp
    mov $0x1234, %bp
    mov $0xe820, %ax
    clc
    int $0x15
    out %ax, $0x51
    sbb %ax, %ax
    neg %ax
    out %ax, $0x52
    mov %sp, %ax
    out %ax, $0x53
    mov %bp, %ax
    out %ax, $0x54
    out %ax, $0x50
    hlt
)")

namespace {

/// Ports 0x50 to 0x57: what each vCPU writes last. The machine ends when `cpus` of them have written to 0x50.
class Notes final : public Device {
public:
    Notes(unsigned cpus, std::function<void()> end) : cpus_(cpus), end_(std::move(end)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "notes"; }
    [[nodiscard]] awaitable<void> write(const Access& access) override {
        by_cpu[access.cpu][static_cast<unsigned>(access.address)] = static_cast<std::uint32_t>(access.data);
        if (access.address == 0x50 && ++done_ == cpus_) end_();
        co_return;
    }
    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }

    std::map<unsigned, std::map<unsigned, std::uint32_t>> by_cpu;

private:
    const unsigned cpus_;
    const std::function<void()> end_;
    unsigned done_ = 0;
};

void place_tables(GuestMemory& memory, const PcDescription& description) {
    for (const BootTable& table : pc_surroundings(description).tables) memory.write(table.address, table.bytes);
}

struct PcMachine {
    PcMachine(std::unique_ptr<Accelerator> accelerator, unsigned cpus) : test(loop, cpus, std::move(accelerator)) {
        for (unsigned port = 0x50; port < 0x58; ++port) {
            test.machine.ports().attach({.first = port, .size = 1, .whole = true}, notes);
        }
    }

    asio::io_context loop{1};
    TestMachine test;
    std::shared_ptr<Notes> notes = std::make_shared<Notes>(test.machine.cpus(), [this] { test.machine.finish({}); });
};

/// Raises IRQ 11 for a moment when the guest writes to it.
class Bell final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "bell"; }
    void attached(const DeviceContext& context) override { line_ = context.irq(11); }
    [[nodiscard]] awaitable<void> write(const Access&) override {
        line_.set(true);
        line_.set(false);
        co_return;
    }
    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }

private:
    IrqLine line_;
};

/// What the guest has counted.
unsigned count(std::span<const std::byte> code, unsigned cpus) {
    PcMachine machine(make_accelerator_under_test(), 1);
    place_tables(machine.test.machine.memory(), {.ram_size = 1 << 20, .cpus = cpus});
    machine.test.load(code, Mode::real16);
    static_cast<void>(machine.test.run());
    auto& said = machine.notes->by_cpu[0];
    BOOST_TEST(said[0x51] == 0u);  // it has found what it looked for
    return said[0x50];
}

void check_cpus(unsigned cpus) {
    PcMachine machine(make_kvm_accelerator({.irqchip = true, .cpus = cpus}), cpus);
    machine.test.load(cpus_guest(), Mode::real16);
    static_cast<void>(machine.test.run());
    BOOST_REQUIRE_EQUAL(machine.notes->by_cpu.size(), cpus);
    for (unsigned cpu = 0; cpu < cpus; ++cpu) {
        auto& said = machine.notes->by_cpu[cpu];
        BOOST_TEST_CONTEXT("CPU " << cpu) {
            BOOST_TEST((said[0x51] >> 24) == cpu);
            BOOST_TEST((said[0x51] >> 16 & 0xff) == cpus);
            BOOST_TEST((said[0x52] >> 31) == 1u);  // the hypervisor bit
            BOOST_TEST(said[0x53] == cpus);
            BOOST_TEST(said[0x54] == cpu);
            // Where the host's counter is not stable there is no frequency, and no leaf for it.
            BOOST_TEST((said[0x55] == 0x4000'0010u || said[0x55] == 0x4000'0001u), said[0x55]);
            if (said[0x55] == 0x4000'0010u) {
                BOOST_TEST(said[0x56] > 100'000u);
                BOOST_TEST(said[0x57] == 1'000'000u);
            }
        }
    }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_finds_the_acpi_tables_and_counts_the_cpus) {
    for (const unsigned cpus : {1u, 2u, 255u}) BOOST_TEST(count(acpi_guest(), cpus) == cpus);
}

BOOST_AUTO_TEST_CASE(a_guest_finds_the_mp_table_and_counts_the_cpus) {
    for (const unsigned cpus : {1u, 2u, 255u}) BOOST_TEST(count(mp_guest(), cpus) == cpus);
}

BOOST_AUTO_TEST_CASE(the_devices_know_the_machine_and_power_it_off) {
    PcMachine machine(make_accelerator_under_test(), 1);
    Machine& made = machine.test.machine;
    const auto nothing = [&machine](std::string_view) {
        return open_chardev(ChardevSpec{}, ChardevEnvironment{.loop = machine.loop});
    };
    add_pc_devices({.ports = made.ports(),
                    .mmio = made.mmio(),
                    .finish = [&made](Outcome outcome) { made.finish(std::move(outcome)); },
                    .open_chardev = nothing},
                   {.ram_size = 1 << 20, .cpus = 7});
    machine.test.load(board_guest(), Mode::real16);
    const auto outcome = machine.test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::powered_off), outcome.summary);
    BOOST_TEST(machine.notes->by_cpu[0][0x52] == 7u);
    BOOST_TEST(machine.notes->by_cpu[0][0x51] == 6u);  // one less
}

BOOST_AUTO_TEST_CASE(the_interrupt_controllers_have_the_vectors_of_a_bios, REQUIRES("irq-wake")) {
    PcMachine machine(make_kvm_accelerator({.irqchip = true}), 1);
    machine.test.machine.ports().attach({.first = 0x58, .size = 1, .whole = true}, std::make_shared<Bell>());
    machine.test.load(bios_vector_guest(), Mode::real16);
    static_cast<void>(machine.test.run());
    auto& said = machine.notes->by_cpu[0];
    BOOST_TEST(said.contains(0x50), "the interrupt did not come");
    BOOST_TEST(said[0x51] == 0x031bu);
}

BOOST_AUTO_TEST_CASE(calls_of_an_absent_bios_fail_and_return) {
    PcMachine machine(make_accelerator_under_test(), 1);
    auto& memory = machine.test.machine.memory();
    const auto vectors = boot::make_bios_vectors();
    const auto code = boot::make_bios_code(boot::BiosCalls::refused);
    BOOST_REQUIRE(memory.write(0, vectors) == vectors.size());
    BOOST_REQUIRE(memory.write(boot::bios_code, code) == code.size());
    machine.test.load(bios_call_guest(), Mode::real16);
    static_cast<void>(machine.test.run());
    auto& said = machine.notes->by_cpu[0];
    BOOST_TEST(said[0x51] == 0x8620u);  // AX: AH says that there is no such function
    BOOST_TEST(said[0x52] == 1u);       // the carry flag
    BOOST_TEST(said[0x53] == 0x8000u);  // SP
    BOOST_TEST(said[0x54] == 0x1234u);  // BP
}

BOOST_AUTO_TEST_CASE(two_cpus_start_and_cpuid_tells_them_apart, REQUIRES("irq-wake", "ap-startup")) { check_cpus(2); }

BOOST_AUTO_TEST_CASE(four_cpus_start_and_cpuid_tells_them_apart, REQUIRES("irq-wake", "ap-startup")) { check_cpus(4); }
