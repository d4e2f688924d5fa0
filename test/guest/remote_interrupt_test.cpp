// Interrupts of devices in other processes: when they are in effect, and that none stays.
#include <asyncvm/observer.hpp>

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <semaphore>

#include "interrupt_code.hpp"
#include "remote_fixture.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

// Raises and lowers the line 20 times, and shows the PIC's requests after each reply. Then the process ends while the line
// is high, and the guest waits until it is low.
GUEST_CODE(guest_that_looks_at_the_pic, 16, R"(
    asyncvm_test_pics 0xff
    asyncvm_test_level_triggered 5
    mov $0x0a, %al
    out %al, $0x20
    mov $20, %cx
    mov $0x306, %dx
1:  mov $1, %al
    out %al, %dx
    in $0x20, %al
    and $0x20, %al
    out %al, $0x10
    xor %al, %al
    out %al, %dx
    in $0x20, %al
    and $0x20, %al
    out %al, $0x10
    loop 1b
    mov $1, %al
    out %al, %dx
    mov $0x30f, %dx
    out %al, %dx
2:  in $0x20, %al
    test $0x20, %al
    jnz 2b
    mov $0x99, %al
    out %al, $0x10
    jmp .
)")

BOOST_AUTO_TEST_CASE(an_interrupt_is_there_when_the_guest_has_the_reply, REQUIRES("irq-wake")) {
    RemoteFixture one(1, make_kvm_accelerator({.irqchip = true}));
    one.spec.irqs = {5};
    one.attach();
    one.test.load(guest_that_looks_at_the_pic(), Mode::real16);
    one.test.start();
    one.until([&] { return !one.notes->values().empty() && one.notes->values().back() == 0x99; });
    one.stop();
    std::vector<std::uint64_t> expected;
    for (int i = 0; i < 20; ++i) expected.insert(expected.end(), {0x20, 0});
    expected.push_back(0x99);
    one.expect(expected);
}

namespace {

/// Where an interrupt line changes it takes its time, on whichever thread that is.
struct Stalling final : Observer {
    void interrupt(unsigned, bool) noexcept override {
        inside = true;
        static_cast<void>(paused.try_acquire_for(200ms));
        ended = true;
    }
    std::binary_semaphore paused{0};
    std::atomic<bool> inside = false;
    std::atomic<bool> ended = false;
};

}  // namespace

BOOST_AUTO_TEST_CASE(an_interrupt_that_a_vcpu_is_raising_is_there_before_the_pause, REQUIRES("irq-wake")) {
    const auto stalling = std::make_shared<Stalling>();
    RemoteFixture one(1, make_kvm_accelerator({.irqchip = true}), [&](MachineConfig& config) {
        config.observers = {stalling};
        config.cancellation_patience = 20ms;
    });
    one.spec.irqs = {5};
    one.attach();
    one.test.load({0xba, 0x06, 0x03, 0xb0, 0x01, 0xee, 0xeb, 0xfe});  // mov $0x306, %dx; mov $1, %al; out %al, %dx; jmp .
    one.test.start();
    one.until([&] { return stalling->inside.load(); });
    const auto held = one.pause();
    BOOST_TEST(stalling->ended.load());
    stalling->paused.release();
    one.stop();
}
