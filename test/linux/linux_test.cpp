// A real Linux in the real program: Debian's kernel with a shell on TCP. Runs in the emulated machine (test/nested), on
// kvm-amd; LINUX_KERNEL and LINUX_INITRD name the guest's files.
#define BOOST_TEST_MODULE linux
#include "linux_guest.hpp"

#include <boost/test/unit_test.hpp>

#include <fstream>
#include <string>

using namespace linux_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// MiB of the process that are in the host's memory.
std::size_t resident(const Child& child) {
    std::ifstream status("/proc/" + std::to_string(child.pid()) + "/status");
    std::string word;
    std::size_t kib = 0;
    while (status >> word && word != "VmRSS:") continue;
    status >> kib;
    return kib >> 10;
}

}  // namespace

BOOST_AUTO_TEST_CASE(linux_boots_to_a_shell_on_tcp_and_powers_off) {
    SerialVm vm("tcp:0", booting("", {}));
    Shell shell(vm);
    shell.wait_for("init: 1 CPUs");
    shell.wait_for("guest# ");
    shell.forget();
    shell.type("echo $((6 * 7)) is the answer\n");
    shell.wait_for("42 is the answer");
    shell.type("poweroff -f\n");
    vm.check_end(0);
}

BOOST_AUTO_TEST_CASE(a_guest_with_two_cpus_restarts_in_place_for_the_same_client_and_its_panic_has_a_code) {
    SerialVm vm("tcp:0", booting("", {"--cpus", "2", "--reboot", "restart"}));
    Shell shell(vm);
    shell.wait_for("init: 2 CPUs");
    shell.wait_for("guest# ");
    shell.forget();
    shell.type("reboot -f\n");
    shell.wait_for("init: 2 CPUs");
    shell.wait_for("guest# ");
    shell.type("echo c >/proc/sysrq-trigger\n");
    shell.wait_for("sysrq triggered crash");
    vm.check_end(84);
}

BOOST_AUTO_TEST_CASE(a_reset_of_a_guest_with_four_cpus_has_a_code) {
    const auto reset = run_asyncvm(booting("do=reboot", {"--cpus", "4"}));
    BOOST_TEST(reset.code == 82, reset.err);
    BOOST_TEST(reset.out.find("init: 4 CPUs") != std::string::npos, reset.out);
}

BOOST_AUTO_TEST_CASE(memory_that_linux_has_freed_goes_back_to_the_host) {
    SerialVm vm("tcp:0", booting("", {"--balloon"}));
    Shell shell(vm);
    shell.wait_for("guest# ");
    shell.type("dd if=/dev/zero of=/dev/shm-file bs=1M count=96 && echo full-$((1 + 1))\n");
    shell.wait_for("full-2");
    const std::size_t full = resident(vm);
    BOOST_TEST(full > 96);
    shell.type("rm /dev/shm-file\n");
    vm.wait_until("memory that has come back", [&] { return resident(vm) + 80 < full; });
    shell.type("poweroff -f\n");
    vm.check_end(0);
}
