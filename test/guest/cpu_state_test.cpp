// Saving and restoring a guest: cut anywhere, it goes on in another machine as if nothing had been.
#define BOOST_TEST_MODULE cpu_state
#include <asyncvm/error.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "accelerator_under_test.hpp"
#include "bare_machine.hpp"
#include "guest_code.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

// Each guest mixes EAX by `x = x * 1664525 + 1013904223`, keeps results in memory, and writes to port 0x50.
GUEST_CODE(guest_16, 16, R"(
    mov $8, %cx
    mov $1, %eax
1:  imul $1664525, %eax
    add $1013904223, %eax
    out %eax, $0x50
    push %eax
    in $0x51, %al
    out %al, $0x50
    pop %ebx
    xor %ebx, %eax
    loop 1b
    hlt
)")
// A read-modify-write of device memory makes two accesses; REP OUTSB several.
GUEST_CODE(guest_32, 32, R"(
    mov $6, %ecx
    mov $1, %eax
1:  imul $1664525, %eax
    add $1013904223, %eax
    mov %eax, 0x20000(,%ecx,4)
    addl %eax, 0x200000
    push %ecx
    mov $4, %ecx
    mov $0x50, %edx
    mov %esp, %esi
    rep outsb
    pop %ecx
    add 0x20000(,%ecx,4), %eax
    out %eax, $0x50
    loop 1b
    hlt
)")
// Also what no register of Registers holds: an MSR (LSTAR).
GUEST_CODE(guest_64, 64, R"(
    mov $6, %r15
    mov $1, %r14d
    mov $1, %eax
1:  imul $1664525, %r14, %r14
    add $1013904223, %r14
    mov %r14d, %eax
    xor %edx, %edx
    mov $0xc0000082, %ecx
    wrmsr
    out %al, $0x50
    lock xaddl %r14d, 0x200000
    xor %eax, %eax
    rdmsr
    out %eax, $0x50
    dec %r15
    jnz 1b
    hlt
)")
// SSE and x87 hold values across exits.
GUEST_CODE(guest_floating, 64, R"(
    mov $0x3f800000, %eax
    movd %eax, %xmm0
    movaps %xmm0, %xmm15
    fninit
    fldpi
    fld1
    mov $5, %ecx
1:  addss %xmm15, %xmm0
    fadd %st(1), %st
    movd %xmm0, %eax
    out %eax, $0x50
    fsts 0x20000
    mov 0x20000, %eax
    out %eax, $0x50
    dec %ecx
    jnz 1b
    hlt
)")
GUEST_CODE(spinning_guest, 16, R"(
1:  jmp 1b
)")

namespace {

struct Guest {
    const char* name;
    std::span<const std::byte> code;
    Mode mode;
};

/// A machine with a device of one register at each address; it logs all that the guest does.
struct LoggingMachine : BareMachine {
    LoggingMachine() : BareMachine(make_accelerator_under_test()) {}

    /// The guest's memory, its vCPU, the machine's and the device's state are as they are in `other`.
    explicit LoggingMachine(LoggingMachine& other) : BareMachine(make_accelerator_under_test()), value(other.value) {
        const CpuState cpu_state = other.cpu->save_state();
        const VmState vm_state = other.accelerator->save_state();
        memory.boot_tables();
        other.memory.boot_tables();
        for (const auto& region : other.memory.regions()) memory.write(region.address, region.bytes);
        accelerator->map(memory);
        cpu = accelerator->create_cpu(0);
        cpu->restore_state(cpu_state);
        accelerator->restore_state(vm_state);
    }

    /// One exit further. False when the guest has halted.
    bool step(std::vector<std::string>& log) {
        const Exit exit = next_exit();
        const Transaction* access = std::get_if<PortAccess>(&exit);
        if (access == nullptr) access = std::get_if<MmioAccess>(&exit);
        if (access == nullptr) {
            BOOST_REQUIRE_MESSAGE(std::holds_alternative<Halted>(exit), "ended by exit " << exit.index());
            return false;
        }
        answer(*access, log);
        return true;
    }

    /// To a point where nothing is pending. What the instruction still needs is answered.
    void pause(std::vector<std::string>& log) {
        cpu->kick();
        for (;;) {
            const Exit exit = cpu->run();
            if (std::holds_alternative<Interrupted>(exit)) return;
            const Transaction* access = std::get_if<PortAccess>(&exit);
            if (access == nullptr) access = std::get_if<MmioAccess>(&exit);
            BOOST_REQUIRE_MESSAGE(access != nullptr, "ended by exit " << exit.index());
            answer(*access, log);
        }
    }

    void answer(const Transaction& access, std::vector<std::string>& log) {
        // Byte by byte: how many elements of a string come in one exit is the host's affair.
        for (std::size_t i = 0; i < access.data.size(); ++i) {
            auto& byte = access.data[i];
            if (access.direction == Direction::read) byte = std::byte(value >> 8 * (i % 4));
            log.push_back(std::to_string(static_cast<int>(access.direction)) + ":" + std::to_string(access.address) + "=" +
                          std::to_string(std::to_integer<int>(byte)));
        }
        if (access.direction == Direction::write)
            std::memcpy(&value, access.data.data(), std::min(access.data.size(), sizeof value));
    }

    std::uint32_t value = 0x12345678;
};

bool can_run(const Guest& guest) {
    LoggingMachine machine;
    machine.load(guest.code, guest.mode);
    TimeLimit limit(*machine.cpu);
    for (;;) {
        const Exit exit = machine.cpu->run();
        if (std::holds_alternative<Halted>(exit)) return true;
        if (limit.over() || std::holds_alternative<Failure>(exit) || std::holds_alternative<ShutDown>(exit)) return false;
    }
}

void check_cut_anywhere(const Guest& guest) {
    std::vector<std::string> whole;
    LoggingMachine uninterrupted;
    uninterrupted.load(guest.code, guest.mode);
    while (uninterrupted.step(whole)) {
    }
    BOOST_REQUIRE(whole.size() > 10u);
    for (unsigned cut = 0;; ++cut) {
        BOOST_TEST_CONTEXT(guest.name << " cut after " << cut << " exits") {
            std::vector<std::string> log;
            LoggingMachine first;
            first.load(guest.code, guest.mode);
            unsigned exits = 0;
            bool halted = false;
            while (exits < cut && !halted) {
                halted = !first.step(log);
                ++exits;
            }
            if (halted) break;
            if (cut != 0) first.pause(log);
            LoggingMachine second(first);
            // What the first does from now on must not matter.
            std::vector<std::string> ignored;
            first.step(ignored);
            while (second.step(log)) {
            }
            BOOST_TEST(log == whole, boost::test_tools::per_element());
        }
    }
}

bool on_kvm() { return make_accelerator_under_test()->name() == "kvm"; }

struct FloatingPoint {
    boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
        if (can_run({"floating", guest_floating(), Mode::long64})) return true;
        boost::test_tools::assertion_result lacks(false);
        lacks.message() << "needs SSE and x87 in ring 0, which this host's accelerator can't run";
        return lacks;
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_goes_on_elsewhere_in_real_mode) { check_cut_anywhere({"16", guest_16(), Mode::real16}); }
BOOST_AUTO_TEST_CASE(a_guest_goes_on_elsewhere_in_32_bits) { check_cut_anywhere({"32", guest_32(), Mode::protected32}); }
BOOST_AUTO_TEST_CASE(a_guest_goes_on_elsewhere_in_64_bits) { check_cut_anywhere({"64", guest_64(), Mode::long64}); }
BOOST_AUTO_TEST_CASE(a_guest_goes_on_elsewhere_with_floating_point, *boost::unit_test::precondition(FloatingPoint())) {
    check_cut_anywhere({"floating", guest_floating(), Mode::long64});
}

BOOST_AUTO_TEST_CASE(a_vcpu_goes_back_to_its_own_earlier_state) {
    std::vector<std::string> once, twice;
    LoggingMachine machine;
    machine.load(guest_16());
    const CpuState start = machine.cpu->save_state();
    for (int i = 0; i < 3; ++i) machine.step(once);
    machine.cpu->restore_state(start);
    machine.value = 0x12345678;
    for (int i = 0; i < 3; ++i) machine.step(twice);
    BOOST_TEST(once == twice, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(the_state_in_the_middle_of_an_access_is_not_to_be_had) {
    std::vector<std::string> log;
    LoggingMachine machine;
    machine.load(guest_16());
    machine.step(log);
    BOOST_CHECK_THROW(static_cast<void>(machine.cpu->save_state()), std::logic_error);
    machine.pause(log);
    BOOST_CHECK_NO_THROW(static_cast<void>(machine.cpu->save_state()));
}

BOOST_AUTO_TEST_CASE(a_state_of_another_accelerator_is_refused) {
    LoggingMachine machine;
    machine.load(guest_16());
    CpuState state = machine.cpu->save_state();
    BOOST_TEST(state.accelerator == machine.accelerator->name());
    state.accelerator = "other";
    BOOST_CHECK_THROW(machine.cpu->restore_state(state), Error);
    VmState vm;
    vm.accelerator = "other";
    BOOST_CHECK_THROW(machine.accelerator->restore_state(vm), Error);
}

BOOST_AUTO_TEST_CASE(a_state_that_lacks_something_or_has_another_size_is_refused) {
    LoggingMachine machine;
    machine.load(guest_16());
    const CpuState whole = machine.cpu->save_state();
    for (std::size_t i = 0; i < whole.sections.size(); ++i) {
        BOOST_TEST_CONTEXT(whole.sections[i].name) {
            CpuState state = whole;
            state.sections[i].bytes.push_back(std::byte{0});
            state.sections[i].bytes.push_back(std::byte{0});
            state.sections[i].version = 7;
            // KVM prefers sregs2 and does not look at sregs then; larger processors have a larger xsave.
            if (whole.sections[i].name == "sregs" && whole.find("sregs2") != nullptr) continue;
            BOOST_CHECK_THROW(machine.cpu->restore_state(state), Error);
        }
    }
    CpuState empty;
    empty.accelerator = whole.accelerator;
    BOOST_CHECK_THROW(machine.cpu->restore_state(empty), Error);
}

BOOST_AUTO_TEST_CASE(a_vcpu_that_moves_to_another_thread_keeps_its_kicks) {
    LoggingMachine machine;
    machine.load(spinning_guest());
    for (int i = 0; i < 3; ++i) {
        std::thread runner([&] {
            for (int k = 0; k < 20; ++k) {
                std::thread kicker([&] { machine.cpu->kick(); });
                BOOST_TEST((std::holds_alternative<Interrupted>(machine.cpu->run())));
                kicker.join();
            }
        });
        runner.join();
        machine.cpu->kick();  // while nobody runs it: for the next run
    }
    BOOST_TEST((std::holds_alternative<Interrupted>(machine.cpu->run())));
}

BOOST_AUTO_TEST_CASE(the_task_priority_survives_registers_and_state) {
    LoggingMachine machine;
    machine.load(spinning_guest(), Mode::long64);
    Registers registers = machine.cpu->registers();
    registers.cr8 = 5;
    machine.cpu->set_registers(registers);
    BOOST_TEST(machine.cpu->registers().cr8 == 5u);
    if (!on_kvm()) return;  // Unicorn's processor has no CR8
    machine.cpu->kick();
    BOOST_TEST((std::holds_alternative<Interrupted>(machine.cpu->run())));
    BOOST_TEST(machine.cpu->registers().cr8 == 5u);
    LoggingMachine second(machine);
    second.cpu->kick();
    BOOST_TEST((std::holds_alternative<Interrupted>(second.cpu->run())));
    BOOST_TEST(second.cpu->registers().cr8 == 5u);
}
