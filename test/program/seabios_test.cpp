// Debian's SeaBIOS as the firmware; SEABIOS names its file.
#define BOOST_TEST_MODULE seabios
#include "harness.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// Ends the test program with 77, which Meson shows as skipped, where the package is not installed.
struct NeedsSeabios {
    NeedsSeabios() {
        if (std::filesystem::exists(path())) return;
        std::printf("SKIP: there is no %s (apt-get install seabios)\n", path());
        std::fflush(stdout);
        std::_Exit(77);
    }
    static const char* path() {
        const char* const named = std::getenv("SEABIOS");
        return named != nullptr ? named : "/usr/share/seabios/bios.bin";
    }
};

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(NeedsSeabios);

BOOST_AUTO_TEST_CASE(seabios_runs_until_it_finds_no_disk) {
    Child child(asyncvm({"--serial", "null", "--firmware", NeedsSeabios::path()}));
    child.wait_for_output("No bootable device.");
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}
