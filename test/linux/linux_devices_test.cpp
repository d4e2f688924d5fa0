// Debian's drivers of the entropy device and of the virtio console.
#include "linux_guest.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <sstream>
#include <string>

using namespace linux_test;

BOOST_AUTO_TEST_CASE(linux_reads_random_bytes_and_uses_its_virtio_consoles) {
    TemporaryDirectory directory;
    const std::string output = directory.file("console");
    SerialVm vm("tcp:0", booting("", {"--console", "file:" + output, "--console", "null", "--rng"}));
    Shell shell(vm);
    shell.wait_for("guest# ");
    shell.forget();
    shell.type("echo got=$(head -c 64 /dev/hwrng | wc -c) from $(cat /sys/class/misc/hw_random/rng_current)\n");
    shell.wait_for("got=64 from virtio_rng.0");
    shell.type("echo over the console >/dev/hvc0; echo nowhere >/dev/hvc1; echo wrote=$?\n");
    shell.wait_for("wrote=0");
    shell.type("poweroff -f\n");
    vm.check_end(0);
    std::ostringstream text;
    text << std::ifstream(output).rdbuf();
    BOOST_TEST(text.str().find("over the console") != std::string::npos, text.str());
}
