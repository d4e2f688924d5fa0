// Debian's drivers of the entropy device and of the virtio console, and of devices that other processes serve.
#include "linux_guest.hpp"
#include "other_processes.hpp"

#include <boost/test/unit_test.hpp>

#include <string>

using namespace linux_test;

BOOST_AUTO_TEST_CASE(linux_uses_its_consoles_and_ports_and_random_bytes_and_devices_of_other_processes) {
    TemporaryDirectory directory;
    const std::string socket = directory.file("port");
    OtherProcesses others;
    std::vector<std::string> options{
        "--console",     "telnet:0,cols=132,rows=43",       "--console",     "null",      "--rng",
        "--virtio-port", "org.asyncvm.test=unix:" + socket, "--virtio-port", "other=null"};
    for (const auto& word : others.options()) options.push_back(word);
    SerialVm vm("tcp:0", booting("", options));
    Shell shell(vm);
    Peer terminal = Peer::connect(vm.address("console0"));
    shell.wait_for("guest# ");
    shell.forget();
    shell.type("echo got=$(head -c 64 /dev/hwrng | wc -c) from $(cat /sys/class/misc/hw_random/rng_current)\n");
    shell.wait_for("got=64 from virtio_rng.0");
    shell.type("stty size </dev/hvc0\n");
    shell.wait_for("43 132");
    // What a telnet client says of its window: 100 columns, 30 rows.
    terminal.write(std::string("\xff\xfb\x1f\xff\xfa\x1f\0\x64\0\x1e\xff\xf0", 12));
    shell.type("until [ \"$(stty size </dev/hvc0)\" = '30 100' ]; do sleep 0.1; done; echo the size is $((10 * 3)) now\n");
    shell.wait_for("the size is 30 now");
    shell.type("echo over the console >/dev/hvc0; echo nowhere >/dev/hvc1; echo wrote=$?\n");
    shell.wait_for("wrote=0");
    std::string shown;
    while (shown.find("over the console") == std::string::npos) shown += terminal.read_some();

    shell.type(
        "cd /sys/class/virtio-ports; cat */name; port=/dev/$(grep -l asyncvm */name | cut -d / -f 1); exec 3<>$port\n");
    shell.wait_for("other");
    // While nobody is at the other end, a program that writes waits.
    shell.type("(echo early >&3; echo the early one is $((6 * 7))) &\n");
    Peer other = Peer::connect("unix:" + socket);
    shell.wait_for("the early one is 42");
    BOOST_TEST(other.read(6) == "early\n");
    other.write("a word of the host\n");
    shell.type("read line <&3; echo \"got $line over $(basename $port)\"\n");
    shell.wait_for("got a word of the host over vport");
    shell.type("head -c 300000 /dev/zero | tr '\\0' x >&3; echo end >&3\n");
    BOOST_TEST(other.read(300004) == std::string(300000, 'x') + "end\n");
    others.use(vm, shell);
    shell.type("poweroff -f\n");
    terminal.close();
    other.close();
    vm.check_end(0);
    others.check();
}
