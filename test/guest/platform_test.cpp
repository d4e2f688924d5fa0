// Guests that end, restart and time their machine through the ports of a PC.
#define BOOST_TEST_MODULE platform
#include <asyncvm/devices.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <string_view>

#include "guest_code.hpp"
#include "machine_fixture.hpp"

using namespace asyncvm;
using namespace asyncvm::test;

BOOST_TEST_GLOBAL_FIXTURE(AcceleratorOrSkip);

// A guest that goes on after its request halts.
GUEST_CODE(power_off_guest, 16, "mov $0x604, %dx; mov $0x2000, %ax; out %ax, %dx; hlt")
GUEST_CODE(reset_control_guest, 16, "mov $0xcf9, %dx; mov $2, %al; out %al, %dx; mov $6, %al; out %al, %dx; hlt")
GUEST_CODE(fast_reset_guest, 16, "in $0x92, %al; or $1, %al; out %al, $0x92; hlt")
// Reads back what a probe for PCI reads back, and resets nothing on the way: then it halts.
GUEST_CODE(pci_probe_guest, 16, R"(
    mov $0xcf8, %dx
    mov $0x80000600, %eax
    out %eax, %dx
    in %dx, %eax
    cmp $0xffffffff, %eax
    jne 1f
    mov $0xcfc, %dx
    in %dx, %ax
    cmp $0xffff, %ax
    jne 1f
    hlt
1:  mov $1, %al
    out %al, $0xf4
)")
// Waits until the input buffer is empty, as everybody does, asks the keyboard for its test and resets the machine.
GUEST_CODE(keyboard_reset_guest, 16, R"(
    mov $0xff, %al
    out %al, $0x60
1:  in $0x64, %al
    test $1, %al
    jz 1b
    in $0x60, %al
    cmp $0xaa, %al
    jne 1b
2:  in $0x64, %al
    test $2, %al
    jnz 2b
    mov $0xfe, %al
    out %al, $0x64
    hlt
)")
// Waits for both levels of the refresh bit and of the timer's output.
GUEST_CODE(port61_guest, 16, R"(
    mov $1, %al
    out %al, $0x61
    mov $0x10, %ah
1:  in $0x61, %al
    test %ah, %al
    jz 1b
2:  in $0x61, %al
    test %ah, %al
    jnz 2b
    cmp $0x20, %ah
    mov $0x20, %ah
    jne 1b
    hlt
)")
// Programs power off with S5 as the tables name it, after they have seen the PM timer advance.
GUEST_CODE(acpi_guest, 16, R"(
    mov $0x608, %dx
    in %dx, %eax
    mov %eax, %ebx
1:  in %dx, %eax
    cmp %eax, %ebx
    je 1b
    mov $0x604, %dx
    mov $0x1401, %ax
    out %ax, %dx
    or $0x2000, %ax
    out %ax, %dx
    hlt
)")

namespace {

Outcome run_with(std::span<const std::byte> code, std::string_view device = {}) {
    asio::io_context loop{1};
    TestMachine test(loop);
    Machine& machine = test.machine;
    const DeviceHost host{
        .ports = machine.ports(),
        .mmio = machine.mmio(),
        .finish = [&machine](Outcome outcome) { machine.finish(std::move(outcome)); },
        .open_chardev = {},
    };
    for (const auto* const each : {"exit", "pci-config", "port92"}) add_device(host, each);
    add_device(host, device.empty() ? "power" : device);
    test.load(code, Mode::real16);
    return test.run();
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_guest_powers_off_through_the_power_ports) {
    const auto outcome = run_with(power_off_guest());
    BOOST_TEST((outcome.kind == Outcome::Kind::powered_off), outcome.summary);
}

BOOST_AUTO_TEST_CASE(a_guest_powers_off_through_acpi_after_the_pm_timer_has_advanced) {
    const auto outcome = run_with(acpi_guest(), "acpi-pm");
    BOOST_TEST((outcome.kind == Outcome::Kind::powered_off), outcome.summary);
    BOOST_TEST(outcome.summary == "the guest wrote 0x3401 to port 0x604 (power off)");
}

BOOST_AUTO_TEST_CASE(a_guest_resets_through_the_reset_control_register) {
    const auto outcome = run_with(reset_control_guest());
    BOOST_TEST((outcome.kind == Outcome::Kind::reset), outcome.summary);
    BOOST_TEST(outcome.summary == "the guest wrote 0x06 to port 0xcf9 (reset control)");
}

BOOST_AUTO_TEST_CASE(a_guest_resets_through_port_92) {
    const auto outcome = run_with(fast_reset_guest());
    BOOST_TEST((outcome.kind == Outcome::Kind::reset), outcome.summary);
    BOOST_TEST(outcome.summary == "the guest wrote 0x03 to port 0x92 (fast reset)");
}

BOOST_AUTO_TEST_CASE(a_guest_resets_through_the_keyboard_controller) {
    const auto outcome = run_with(keyboard_reset_guest(), "i8042");
    BOOST_TEST((outcome.kind == Outcome::Kind::reset), outcome.summary);
    BOOST_TEST(outcome.summary == "the guest wrote 0xfe to port 0x64 (keyboard controller)");
}

BOOST_AUTO_TEST_CASE(a_probe_for_pci_finds_nothing_and_resets_nothing) {
    const auto outcome = run_with(pci_probe_guest());
    BOOST_TEST((outcome.kind == Outcome::Kind::halted), outcome.summary);
}

BOOST_AUTO_TEST_CASE(loops_that_wait_for_port_61_end) {
    const auto outcome = run_with(port61_guest(), "port61");
    BOOST_TEST((outcome.kind == Outcome::Kind::halted), outcome.summary);
}
