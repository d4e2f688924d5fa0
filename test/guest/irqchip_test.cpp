// Interrupts through the controllers that KVM keeps, with guests that program them.
#define BOOST_TEST_MODULE irqchip
#include <asyncvm/error.hpp>

#include <sys/eventfd.h>
#include <unistd.h>
#include <boost/test/unit_test.hpp>

#include <cstdint>
#include <cstdlib>
#include <string>

#include "irqchip_fixture.hpp"
#include "kvm_or_skip.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(KvmOrSkip);

GUEST_CODE(edge_guest, 16, "asyncvm_test_pic_guest 0xee\n asyncvm_test_wait_for_interrupts")
GUEST_CODE(level_guest, 16,
           "asyncvm_test_pic_guest 0xef\n asyncvm_test_level_triggered 4\n asyncvm_test_wait_for_interrupts")
GUEST_CODE(message_guest, 16, R"(
    asyncvm_test_pic_guest 0xef
    asyncvm_test_x2apic
    asyncvm_test_wait_for_interrupts)")
GUEST_CODE(timer_guest, 16, R"(
    asyncvm_test_pic_guest 0xfe
    asyncvm_test_timer 1193
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
