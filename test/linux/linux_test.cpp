// A real Linux in the real program: Debian's kernel with a shell on TCP. Runs in the emulated machine (test/nested), on
// kvm-amd; LINUX_KERNEL and LINUX_INITRD name the guest's files.
#define BOOST_TEST_MODULE linux
#include "harness.hpp"
#include "serial_peer.hpp"
#include "serial_vm.hpp"

#include <boost/test/unit_test.hpp>

#include <cstdlib>
#include <stdexcept>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

std::string file_from(const char* variable) {
    const char* const path = std::getenv(variable);
    if (path == nullptr) throw std::runtime_error(std::string(variable) + " is not set: run this through meson test");
    return path;
}

std::vector<std::string> booting(const std::string& append, std::vector<std::string> options) {
    options.insert(options.end(), {"--memory", "256M", "--initrd", file_from("LINUX_INITRD"), "--append",
                                   "console=ttyS0 quiet " + append, file_from("LINUX_KERNEL")});
    return options;
}

/// A client that reads on until it has seen something.
class Shell {
public:
    explicit Shell(SerialVm& vm) : peer_(vm.connect()) {}

    void type(std::string_view line) { peer_.write(line); }

    /// Returns what came until then, and what came with it.
    const std::string& wait_for(std::string_view text) {
        while (seen_.find(text) == std::string::npos) {
            const auto more = peer_.read_some();
            if (more.empty()) throw std::runtime_error("the stream ended without '" + std::string(text) + "': " + seen_);
            seen_ += more;
        }
        return seen_;
    }

    void forget() { seen_.clear(); }

private:
    Peer peer_;
    std::string seen_;
};

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
