// The newest kernel that Debian has for the same release: its drivers are not those of the usual one.
#include "linux_guest.hpp"
#include "neighbour.hpp"
#include "root_disk.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace linux_test;

namespace {

/// A root file system, a console and a network card, all in one machine.
void use_a_disk_a_console_and_a_network(RootDisk& disk, const std::string& transport) {
    const DataDisk data(disk);
    const auto cable = disk.directory.file("net");
    auto options = disk.boot("", newer_kernel());
    options.insert(options.begin(),
                   {"--transport", transport, "--console", "tcp:0", "--net", "stream:unix:" + cable + ",server"});
    SerialVm vm("tcp:0", options);
    vm.wait_for_error("net0: listens on");
    const Neighbour neighbour(cable);
    Shell shell(vm);
    shell.wait_for("root: /dev/vda ext4");
    shell.wait_for("disk# ");
    shell.forget();
    data.fill_and_compare(shell);
    shell.type("ip addr add 10.0.0.2/24 dev eth0; ip link set eth0 up; ping -c 3 -s 1400 10.0.0.1\n");
    shell.wait_for("3 packets transmitted, 3 packets received, 0% packet loss");
    BOOST_TEST(neighbour.pings == 3u);
    Shell console(Peer::connect(vm.address("console0")));
    shell.type("PS1='console# ' setsid sh -i </dev/hvc0 >/dev/hvc0 2>&1 &\n");
    console.wait_for("console# ");
    console.type("echo $((6 * 7)) is the answer\n");
    console.wait_for("42 is the answer");
    console.type("mount -o remount,ro / && poweroff -f\n");
    vm.check_end(0);
    disk.check_clean();
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_newer_linux_has_a_disk_a_console_and_a_network, RootDisk) {
    use_a_disk_a_console_and_a_network(*this, "mmio");
}

BOOST_FIXTURE_TEST_CASE(a_newer_linux_has_them_on_the_pci_bus, RootDisk) {
    use_a_disk_a_console_and_a_network(*this, "pci");
}
