// Interrupt controllers and timers whose state is saved go on where it is restored.
#include <boost/test/unit_test.hpp>

#include <variant>

#include "irqchip_fixture.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

GUEST_CODE(waiting_guest, 16, "asyncvm_test_pic_guest 0xee\n asyncvm_test_wait_for_interrupts")
GUEST_CODE(ticking_guest, 16, R"(
    asyncvm_test_pic_guest 0xfe
    asyncvm_test_timer 1193
    asyncvm_test_wait_for_interrupts)")
// Says 'R' with interrupts off, stays there for one access to port 0x51, then takes what is pending.
GUEST_CODE(pending_guest, 16, R"(
    asyncvm_test_pic_guest 0xef
    mov $'R', %al
    out %al, $0x50
    in $0x51, %al
    asyncvm_test_wait_for_interrupts)")
// The local APIC's timer: vector 0x40 when the time stamp counter is 2 to the 28th further. Then 'R', and a wait for the
// interrupt.
GUEST_CODE(deadline_guest, 16, R"(
    asyncvm_test_pic_guest 0xff
    asyncvm_test_x2apic
    mov $0x832, %ecx
    mov $0x40040, %eax
    xor %edx, %edx
    wrmsr
    mov $0x10, %ecx
    rdmsr
    add $0x10000000, %eax
    adc $0, %edx
    mov $0x6e0, %ecx
    wrmsr
    asyncvm_test_wait_for_interrupts)")
// Writes the upper half of the time stamp counter, which it sets to 2 to the 50th, to port 0x50, again and again.
GUEST_CODE(clock_guest, 16, R"(
    mov $0x10, %ecx
    xor %eax, %eax
    mov $0x40000, %edx
    wrmsr
1:  rdmsr
    mov %edx, %eax
    out %eax, $0x50
    jmp 1b)")

namespace {

/// Whether a guest can set its time stamp counter.
struct TscCanBeSet {
    boost::test_tools::assertion_result operator()(boost::unit_test::test_unit_id) const {
        BareMachine machine(make_kvm_accelerator());
        machine.load(clock_guest());
        if (machine.next_out() == 0x40000u) return true;
        boost::test_tools::assertion_result lacks(false);
        lacks.message() << "this host's KVM ignores what a guest writes to the time stamp counter";
        return lacks;
    }
};

/// A machine that goes on where another one is.
struct Restored : WithIrqchip {
    explicit Restored(WithIrqchip& other) {
        other.cpu->kick();
        BOOST_REQUIRE(std::holds_alternative<Interrupted>(other.cpu->run()));
        const CpuState cpu_state = other.cpu->save_state();
        const VmState vm_state = other.accelerator->save_state();
        for (const auto& region : other.memory.regions()) memory.write(region.address, region.bytes);
        accelerator->map(memory);
        cpu = accelerator->create_cpu(0);
        cpu->restore_state(cpu_state);
        accelerator->restore_state(vm_state);
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_that_waits_for_an_interrupt_waits_for_it_elsewhere, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(waiting_guest());
    machine.irqchip.set(0, true);
    BOOST_TEST(machine.next_out() == '0');
    Restored second(machine);
    second.irqchip.set(4, true);
    BOOST_TEST(second.next_out() == '4');
}

BOOST_AUTO_TEST_CASE(an_interrupt_that_is_pending_is_pending_elsewhere, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(pending_guest());
    machine.irqchip.set(4, true);
    machine.irqchip.set(4, false);
    Restored second(machine);
    const Exit exit = second.next_exit();
    const auto* const port = std::get_if<PortAccess>(&exit);
    BOOST_REQUIRE((port != nullptr && port->address == 0x51));
    BOOST_TEST(second.next_out() == 'R');
    BOOST_TEST(second.next_out() == '4');
}

BOOST_AUTO_TEST_CASE(the_time_stamp_counter_goes_on_from_where_it_was, *boost::unit_test::precondition(TscCanBeSet())) {
    WithIrqchip machine;
    machine.load(clock_guest());
    BOOST_TEST(machine.next_out() == 0x40000u);
    Restored second(machine);
    // 2 to the 32nd ticks are a second or two; without restoring the counter would begin anew.
    const auto upper = second.next_out();
    BOOST_TEST(upper >= 0x40000u);
    BOOST_TEST(upper < 0x40080u);
}

BOOST_AUTO_TEST_CASE(a_deadline_comes_elsewhere, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(deadline_guest());
    Restored second(machine);
    BOOST_TEST(second.next_out() == 'M');
}

BOOST_AUTO_TEST_CASE(the_timer_goes_on_elsewhere, REQUIRES("irq-wake")) {
    WithIrqchip machine(true);
    machine.ready(ticking_guest());
    BOOST_TEST(machine.next_out() == '0');
    const VmState state = machine.accelerator->save_state();
    BOOST_TEST((state.find("pit") != nullptr));
    BOOST_TEST((WithIrqchip().accelerator->save_state().find("pit") == nullptr));
}
