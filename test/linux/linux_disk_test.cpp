// Debian's kernel with its root file system on a virtio disk.
#include "linux_guest.hpp"
#include "root_disk.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <string>

using namespace linux_test;

BOOST_FIXTURE_TEST_CASE(linux_boots_from_a_disk_and_leaves_a_clean_file_system, RootDisk) {
    const DataDisk data(*this);
    const ChangingDisk changing(*this);
    SerialVm vm("tcp:0", boot());
    Shell shell(vm);
    shell.wait_for("root: /dev/vda ext4");
    shell.wait_for("disk# ");
    shell.forget();
    shell.type("cat /sys/block/vda/serial /sys/block/vda/queue/write_cache\n");
    shell.wait_for("root-1");
    shell.wait_for("write back");
    shell.forget();
    data.fill_and_compare(shell);
    changing.change_and_look(shell);
    shell.type(
        "echo $((6 * 7)) is the answer >/answer; dd if=/dev/urandom of=/random bs=64k count=4; "
        "sync; md5sum /random >/sum; echo 3 >/proc/sys/vm/drop_caches; md5sum -c /sum\n");
    shell.wait_for("/random: OK");
    shell.type("mount -o remount,ro / && poweroff -f\n");
    vm.check_end(0);
    check_clean();
    BOOST_TEST(ask("debugfs -R 'cat /answer' " + image).first.find("42 is the answer") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(linux_boots_from_a_disk_on_the_pci_bus_and_gets_messages, RootDisk) {
    const ChangingDisk changing(*this);
    auto options = boot();
    const auto trace = directory.file("trace");
    options.insert(options.begin(), {"--transport", "pci", "--rng", "--console", "null", "--trace", trace});
    SerialVm vm("tcp:0", options);
    Shell shell(vm);
    shell.wait_for("root: /dev/vda ext4");
    shell.wait_for("disk# ");
    shell.forget();
    // As lspci has it: the bridge, two disks, a console, an entropy device, in this order.
    shell.type(
        "cd /sys/bus/pci/devices; for f in *; do echo is=$f=$(cat $f/vendor)=$(cat $f/device)=$(cat $f/class); done; "
        "cd /; echo listed\n");
    shell.wait_for("is=0000:00:00.0=0x1b36=0x0008=0x060000");
    shell.wait_for("is=0000:00:01.0=0x1af4=0x1042=0x010000");
    shell.wait_for("is=0000:00:02.0=0x1af4=0x1042=0x010000");
    shell.wait_for("is=0000:00:03.0=0x1af4=0x1043=0x078000");
    shell.wait_for("is=0000:00:04.0=0x1af4=0x1044=0xff0000");
    shell.forget();
    shell.type(
        "dmesg | grep -m 1 -cE '(MMCONFIG|ECAM) .*reserved' | sed s/^/ecam=/; "
        "grep -c 'PCI-MSI.*virtio0-req' /proc/interrupts | sed s/^/queues=/; "
        "grep -c 'PCI-MSI.*virtio0-config' /proc/interrupts | sed s/^/config=/; "
        "echo random=$(head -c 64 /dev/hwrng | wc -c)\n");
    shell.wait_for("ecam=1");
    shell.wait_for("queues=1");
    shell.wait_for("config=1");
    shell.wait_for("random=64");
    write_and_read_back(shell);
    changing.change_and_look(shell);
    shell.type("mount -o remount,ro / && poweroff -f\n");
    vm.check_end(0);
    check_clean();
    BOOST_TEST(ask("grep -c 'MSI vector ' " + trace).second == 0);
}

BOOST_FIXTURE_TEST_CASE(what_linux_has_synced_survives_a_kill_and_a_replay_of_the_journal, RootDisk) {
    {
        SerialVm vm("tcp:0", boot());
        Shell shell(vm);
        shell.wait_for("disk# ");
        shell.type("for i in $(seq 1000); do echo $i >/file$i; sync; echo synced-$i.; done\n");
        shell.wait_for("synced-7.");
        vm.send_signal(SIGKILL);
        BOOST_TEST(vm.wait().killed);
    }
    SerialVm vm("tcp:0", boot());
    Shell shell(vm);
    shell.wait_for("disk# ");
    shell.forget();
    shell.type("for i in 1 2 3 4 5 6 7; do cat /file$i; done | tr '\\n' ' '\n");
    shell.wait_for("1 2 3 4 5 6 7 ");
    shell.type("mount -o remount,ro / && poweroff -f\n");
    vm.check_end(0);
    check_clean();
}
