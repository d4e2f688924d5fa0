// Interrupts of the real-time clock, through the controllers that KVM keeps.
#define BOOST_TEST_MODULE rtc_interrupt
#include <asyncvm/devices.hpp>

#include <boost/test/unit_test.hpp>

#include "interrupt_code.hpp"
#include "kvm_or_skip.hpp"
#include "machine_fixture.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(KvmOrSkip);

// Enables the 64 Hz interrupt and sleeps for it five times; then it sleeps for an update's interrupt, and ends. (It does not
// look for UIP, which is set for 244 us a second: a busy host may pass over it.)
GUEST_CODE(rtc_guest, 16, R"(
    asyncvm_test_pics 0xfb, 0xfe
    asyncvm_test_vector 0x28, 8f

    mov $0x0a, %al
    out %al, $0x70
    mov $0x2a, %al
    out %al, $0x71
    mov $0x0b, %al
    out %al, $0x70
    mov $0x42, %al
    out %al, $0x71
    xor %bx, %bx
1:  sti
    hlt
    cmp $5, %bx
    jb 1b
    cli
    mov %bx, %dx
    mov $0x0c, %al
    out %al, $0x70
    in $0x71, %al
    mov $0x0b, %al
    out %al, $0x70
    mov $0x12, %al
    out %al, $0x71
    xor %cx, %cx
2:  sti
    hlt
    test %cx, %cx
    jz 2b
    mov %dl, %al
    out %al, $0xf4

8:  mov $0x0c, %al
    out %al, $0x70
    in $0x71, %al
    mov %al, %ah
    and $0xc0, %al
    cmp $0xc0, %al
    jne 9f
    inc %bx
9:  and $0x90, %ah
    cmp $0x90, %ah
    jne 7f
    inc %cx
7:  asyncvm_test_eoi 1
    iret
)")

BOOST_AUTO_TEST_CASE(a_guest_sleeps_for_the_periodic_interrupt_and_sees_an_update, REQUIRES("irq-wake")) {
    asio::io_context loop{1};
    TestMachine test(loop, 1, make_kvm_accelerator({.irqchip = true}));
    Machine& machine = test.machine;
    machine.ports().attach({.first = 0x70, .size = 2}, make_rtc(1));
    machine.ports().attach(
        {.first = 0xf4},
        make_exit_port([&machine](Outcome outcome) { machine.finish(std::move(outcome)); }, ExitCoding::exact));
    test.load(rtc_guest(), Mode::real16);
    const auto outcome = test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::exited), outcome.summary);
    BOOST_TEST(outcome.guest_code >= 5);  // a sixth may come before the guest has looked
}
