// Debian's kernel without ACPI: interrupts through the two 8259A, PCI by its ports. (Virtio devices in memory are found by
// ACPI alone: these kernels take no virtio_mmio.device=.)
#include "linux_guest.hpp"
#include "root_disk.hpp"

#include <boost/test/unit_test.hpp>

using namespace linux_test;

BOOST_AUTO_TEST_CASE(linux_without_acpi_has_a_shell_and_its_end_is_seen) {
    // With KVM's asynchronous page faults a processor without a local APIC does not stay in HLT.
    SerialVm vm("tcp:0", booting("acpi=off no-kvmapf", {"--rng", "--on-halt", "fail"}));
    Shell shell(vm);
    shell.wait_for("guest# ");
    shell.forget();
    shell.type(
        "grep -c 'XT-PIC.*ttyS0' /proc/interrupts | sed s/^/serial=/; ls /sys/bus/virtio/devices | wc -l | sed "
        "s/^/virtio=/\n");
    shell.wait_for("serial=1");
    shell.wait_for("virtio=0");
    shell.type("poweroff -f\n");
    shell.wait_for("System halted");
    vm.check_end(86);
}

BOOST_FIXTURE_TEST_CASE(linux_without_acpi_boots_from_a_disk_on_the_pci_bus, RootDisk) {
    auto options = boot("acpi=off");
    options.insert(options.begin(), {"--transport", "pci", "--rng"});
    SerialVm vm("tcp:0", options);
    Shell shell(vm);
    shell.wait_for("root: /dev/vda ext4");
    shell.wait_for("disk# ");
    shell.forget();
    shell.type(
        "grep -cE '10: .*XT-PIC.*virtio1' /proc/interrupts | sed s/^/ten=/; "
        "grep -cE '11: .*XT-PIC.*virtio0' /proc/interrupts | sed s/^/eleven=/; "
        "echo random=$(head -c 64 /dev/hwrng | wc -c)\n");
    shell.wait_for("ten=1");
    shell.wait_for("eleven=1");
    shell.wait_for("random=64");
    write_and_read_back(shell);
    shell.type("mount -o remount,ro / && reboot -f\n");
    vm.check_end(82);
    check_clean();
}
