// A serial port's interrupt reaches a guest that sleeps, through the lines that the machine gives its devices.
#define BOOST_TEST_MODULE uart_interrupt
#include <asyncvm/devices.hpp>
#include <asyncvm/machine.hpp>

#include <boost/test/unit_test.hpp>

#include <memory>
#include <string>

#include "../unit/devices/fake_chardev.hpp"
#include "interrupt_code.hpp"
#include "kvm_or_skip.hpp"
#include "machine_fixture.hpp"
#include "requires.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(KvmOrSkip);

// Sets the PIC up so that only IRQ \irq comes, as vector 0x20 + \irq; enables the received data interrupt of the serial port
// at \port; writes 'R' to port 0x50, and sleeps. The handler sends back each character plus one, and writes IIR to port
// 0x50; a 'q' ends the guest.
asm(R"(
    .macro asyncvm_test_uart_guest port irq
    asyncvm_test_pics 0xff&~(1<<\irq)
    asyncvm_test_vector 0x20+\irq, 10f
    mov $(\port + 1), %dx
    mov $1, %al
    out %al, %dx
    mov $'R', %al
    out %al, $0x50
1:  sti
    hlt
    jmp 1b
10: mov $(\port + 2), %dx
    in %dx, %al
    out %al, $0x50
    mov $\port, %dx
    in %dx, %al
    cmp $'q', %al
    je 11f
    inc %al
    out %al, %dx
    asyncvm_test_eoi
    iret
11: out %al, $0xf4
    .endm
)");

GUEST_CODE(com1_guest, 16, "asyncvm_test_uart_guest 0x3f8 4")
GUEST_CODE(com2_guest, 16, "asyncvm_test_uart_guest 0x2f8 3")

namespace {

/// Port 0x50: types the next character when the guest is ready for it.
class Typist final : public Device {
public:
    Typist(std::shared_ptr<FakeChardev> keyboard, std::string text)
        : keyboard_(std::move(keyboard)), text_(std::move(text)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return "typist"; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        written += static_cast<char>(access.data);
        if (next_ < text_.size()) keyboard_->type(text_.substr(next_++, 1));
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }

    std::string written;  // what the guest has written

private:
    const std::shared_ptr<FakeChardev> keyboard_;
    const std::string text_;
    std::size_t next_ = 0;
};

void check_interrupts(std::span<const std::byte> code, unsigned index) {
    asio::io_context loop{1};
    TestMachine test(loop, 1, make_kvm_accelerator({.irqchip = true}));
    Machine& machine = test.machine;
    const auto chardev = std::make_shared<FakeChardev>();
    const auto typist = std::make_shared<Typist>(chardev, "abq");
    const DeviceHost host{.ports = machine.ports(), .mmio = machine.mmio(), .finish = {}, .open_chardev = {}};
    add_serial_port(host, index, chardev);
    machine.ports().attach({.first = 0x50}, typist);
    machine.ports().attach({.first = 0xf4}, make_exit_port([&machine](Outcome outcome) { machine.finish(outcome); }));
    machine.set_registers(0, load_flat(machine.memory(), {.path = "test guest", .bytes = code}).registers);
    const auto outcome = test.run();
    BOOST_TEST((outcome.kind == Outcome::Kind::exited));
    BOOST_TEST(chardev->take() == "bc");
    BOOST_TEST(typist->written == "R\4\4\4");  // IIR: received data
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_first_serial_port_interrupts_on_irq_4, REQUIRES("irq-wake")) { check_interrupts(com1_guest(), 0); }

BOOST_AUTO_TEST_CASE(the_second_serial_port_interrupts_on_irq_3, REQUIRES("irq-wake")) { check_interrupts(com2_guest(), 1); }
