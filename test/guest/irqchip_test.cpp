// Interrupts through the controllers that KVM keeps, with guests that program them.
#define BOOST_TEST_MODULE irqchip
#include <asyncvm/error.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "bare_machine.hpp"
#include "guest_code.hpp"
#include "kvm_or_skip.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(KvmOrSkip);

// Interrupt vectors 0x20 and 0x24 (of the first PIC) and 0x40 (of messages) write '0', '4' and 'M' to port 0x50; 'R' there
// says that interrupts are ready. \elcr is what the first PIC's edge/level register gets: bit 4 makes IRQ 4 level-triggered.
// \masked is the PIC's mask.
asm(R"(
    .macro asyncvm_test_pic_guest elcr masked
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x8000, %sp
    movw $(10f - 0b), 0x80
    mov %cs, 0x82
    movw $(14f - 0b), 0x90
    mov %cs, 0x92
    movw $(18f - 0b), 0x100
    mov %cs, 0x102
    mov $0x11, %al
    out %al, $0x20
    mov $0x20, %al
    out %al, $0x21
    mov $4, %al
    out %al, $0x21
    mov $1, %al
    out %al, $0x21
    mov $\masked, %al
    out %al, $0x21
    mov $0x4d0, %dx
    mov $\elcr, %al
    out %al, %dx
    .endm

    .macro asyncvm_test_wait_for_interrupts
    mov $'R', %al
    out %al, $0x50
1:  sti
    hlt
    jmp 1b
10: mov $'0', %al
    jmp 2f
14: mov $'4', %al
2:  out %al, $0x50
    mov $0x20, %al
    out %al, $0x20
    iret
18: mov $'M', %al
    out %al, $0x50
    mov $0x80b, %ecx
    xor %eax, %eax
    xor %edx, %edx
    wrmsr
    iret
    .endm
)");

GUEST_CODE(edge_guest, 16, "asyncvm_test_pic_guest 0 0xee\n asyncvm_test_wait_for_interrupts")
GUEST_CODE(level_guest, 16, "asyncvm_test_pic_guest 0x10 0xef\n asyncvm_test_wait_for_interrupts")
// Turns the local APIC to x2APIC mode and on.
GUEST_CODE(message_guest, 16, R"(
    asyncvm_test_pic_guest 0 0xef
    mov $0x1b, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x80f, %ecx
    mov $0x1ff, %eax
    xor %edx, %edx
    wrmsr
    asyncvm_test_wait_for_interrupts)")
// Counter 0 as a rate generator, 1,193 ticks: IRQ 0 each millisecond.
GUEST_CODE(timer_guest, 16, R"(
    asyncvm_test_pic_guest 0 0xfe
    mov $0x34, %al
    out %al, $0x43
    mov $0xa9, %al
    out %al, $0x40
    mov $0x04, %al
    out %al, $0x40
    asyncvm_test_wait_for_interrupts)")
// In 64-bit mode: the IOAPIC's input 4 becomes vector 0x30, whose gate lies at 0x24000 + 16 * 0x30; the PIC, which has the
// same line, is masked. The handler does not return: not every KVM can emulate that.
GUEST_CODE(ioapic_guest, 64, R"(
    movl $(0x80000 + 1f - 0b), 0x24300
    movl $0x00018e00, 0x24304
    movq $0, 0x24308
    movw $0xfff, 0x23000
    movq $0x24000, 0x23002
    lidt 0x23000
    mov $0xff, %al
    out %al, $0x21
    out %al, $0xa1
    mov $0xfee00000, %eax
    movl $0x1ff, 0xf0(%rax)
    mov $0xfec00000, %eax
    movl $0x18, (%rax)
    movl $0x30, 0x10(%rax)
    movl $0x19, (%rax)
    movl $0, 0x10(%rax)
    mov $'R', %al
    out %al, $0x50
    sti
2:  hlt
    jmp 2b
1:  mov $'4', %al
    out %al, $0x50
    hlt
)")

// Says 'R' with interrupts off, stays there for one access to port 0x51, then takes what is pending.
GUEST_CODE(pending_guest, 16, R"(
    asyncvm_test_pic_guest 0 0xef
    mov $'R', %al
    out %al, $0x50
    in $0x51, %al
    asyncvm_test_wait_for_interrupts)")
// The local APIC's timer: vector 0x40 when the time stamp counter is 2 to the 28th further. Then 'R', and a wait for the
// interrupt.
GUEST_CODE(deadline_guest, 16, R"(
    asyncvm_test_pic_guest 0 0xff
    mov $0x1b, %ecx
    rdmsr
    or $0xc00, %eax
    wrmsr
    mov $0x80f, %ecx
    mov $0x1ff, %eax
    xor %edx, %edx
    wrmsr
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

class EventFd {
public:
    EventFd() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { BOOST_REQUIRE(fd_ >= 0); }
    ~EventFd() { ::close(fd_); }
    EventFd(const EventFd&) = delete;
    EventFd& operator=(const EventFd&) = delete;

    [[nodiscard]] int get() const noexcept { return fd_; }
    /// Any thread: no check of the test framework's, which is for one thread.
    void signal() const {
        if (eventfd_write(fd_, 1) != 0) std::abort();
    }
    /// Whether it was signalled since it was asked last.
    [[nodiscard]] bool take() const {
        eventfd_t count = 0;
        return eventfd_read(fd_, &count) == 0;
    }

private:
    int fd_;
};

struct WithIrqchip : BareMachine {
    explicit WithIrqchip(bool pit = false)
        : BareMachine(make_kvm_accelerator({.irqchip = true, .pit = pit})), irqchip(*accelerator->irqchip()) {}

    void ready(std::span<const std::byte> code, Mode mode = Mode::real16) {
        load(code, mode);
        BOOST_REQUIRE(next_out() == 'R');
    }

    InterruptController& irqchip;
};

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

constexpr MsiMessage message_to_cpu_0{.address = 0xfee00000, .data = 0x40};

}  // namespace

BOOST_AUTO_TEST_CASE(there_is_none_unless_it_is_asked_for) {
    BOOST_TEST(make_kvm_accelerator()->irqchip() == nullptr);
    BOOST_TEST(make_kvm_accelerator({.irqchip = true})->irqchip() != nullptr);
}

BOOST_AUTO_TEST_CASE(a_line_interrupts_a_guest_through_the_pic, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(edge_guest());
    for (int i = 0; i < 3; ++i) {
        machine.irqchip.set(4, true);
        machine.irqchip.set(4, false);
        BOOST_TEST(machine.next_out() == '4');
    }
}

BOOST_AUTO_TEST_CASE(an_eventfd_interrupts_a_guest_until_it_is_detached, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(edge_guest());
    const EventFd event;
    machine.irqchip.attach_irqfd(4, event.get());
    event.signal();
    BOOST_TEST(machine.next_out() == '4');
    event.signal();
    BOOST_TEST(machine.next_out() == '4');
    machine.irqchip.detach_irqfd(4, event.get());
    event.signal();
    // The next interrupt that comes is the other one.
    machine.irqchip.set(0, true);
    BOOST_TEST(machine.next_out() == '0');
}

BOOST_AUTO_TEST_CASE(a_level_triggered_eventfd_is_resampled_when_the_guest_acknowledges, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(level_guest());
    const EventFd event, resample;
    machine.irqchip.attach_irqfd(4, event.get(), resample.get());
    for (int i = 0; i < 3; ++i) {
        event.signal();
        BOOST_TEST(machine.next_out() == '4');
        BOOST_TEST(!resample.take(), "resampled before the guest's EOI");
        // The device still wants an interrupt: it signals again, for which the guest's EOI must have come.
        machine.cpu->kick();
        BOOST_TEST((std::holds_alternative<Interrupted>(machine.cpu->run())));
        std::thread device([&] {
            while (!resample.take()) std::this_thread::yield();
            event.signal();
        });
        BOOST_TEST(machine.next_out() == '4');
        device.join();
        machine.irqchip.set(4, false);
        std::thread again([&] {
            while (!resample.take()) std::this_thread::yield();
            machine.cpu->kick();
        });
        BOOST_TEST((std::holds_alternative<Interrupted>(machine.cpu->run())));
        again.join();
    }
}

BOOST_AUTO_TEST_CASE(a_message_interrupts_a_guest, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(message_guest());
    BOOST_TEST(machine.irqchip.signal(message_to_cpu_0));
    BOOST_TEST(machine.next_out() == 'M');
    BOOST_TEST(!machine.irqchip.signal({.address = 0xfee05000, .data = 0x40}), "vCPU 5 has taken a message");
}

BOOST_AUTO_TEST_CASE(a_route_to_a_message_leaves_the_lines_as_they_are, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(message_guest());
    const EventFd event;
    machine.irqchip.attach_irqfd(24, event.get());
    machine.irqchip.route(24, {.address = 0xfee05000, .data = 0x40});
    machine.irqchip.route(4095, message_to_cpu_0);
    machine.irqchip.route(24, message_to_cpu_0);
    event.signal();
    BOOST_TEST(machine.next_out() == 'M');
    machine.irqchip.set(4, true);
    BOOST_TEST(machine.next_out() == '4');
    machine.irqchip.set(4095, true);
    BOOST_TEST(machine.next_out() == 'M');
}

BOOST_AUTO_TEST_CASE(a_line_cannot_become_a_message) {
    WithIrqchip machine;
    BOOST_CHECK_THROW(machine.irqchip.route(23, message_to_cpu_0), Error);
    BOOST_CHECK_THROW(machine.irqchip.route(4096, message_to_cpu_0), Error);
}

BOOST_AUTO_TEST_CASE(what_is_no_eventfd_is_refused) {
    WithIrqchip machine;
    BOOST_CHECK_EXCEPTION(machine.irqchip.attach_irqfd(4, -1), Error, [](const Error& error) {
        return std::string(error.what()).find("KVM_IRQFD") != std::string::npos;
    });
}

BOOST_AUTO_TEST_CASE(the_timer_interrupts_a_guest, REQUIRES("irq-wake")) {
    WithIrqchip machine(true);
    machine.ready(timer_guest());
    for (int i = 0; i < 3; ++i) BOOST_TEST(machine.next_out() == '0');
}

BOOST_AUTO_TEST_CASE(a_line_interrupts_a_guest_through_the_ioapic, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(ioapic_guest(), Mode::long64);
    machine.irqchip.set(4, true);
    BOOST_TEST(machine.next_out() == '4');
}

BOOST_AUTO_TEST_CASE(a_guest_that_waits_for_an_interrupt_waits_for_it_elsewhere, REQUIRES("irq-wake")) {
    WithIrqchip machine;
    machine.ready(edge_guest());
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
    machine.ready(timer_guest());
    BOOST_TEST(machine.next_out() == '0');
    const VmState state = machine.accelerator->save_state();
    BOOST_TEST((state.find("pit") != nullptr));
    BOOST_TEST((WithIrqchip().accelerator->save_state().find("pit") == nullptr));
}
