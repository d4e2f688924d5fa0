// Debian's SeaBIOS as the firmware; SEABIOS names the directory of its files.
#define BOOST_TEST_MODULE seabios
#include "harness.hpp"

#include <boost/test/data/monomorphic.hpp>
#include <boost/test/data/test_case.hpp>
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
        if (std::filesystem::exists(file("bios.bin"))) return;
        std::printf("SKIP: there is no %s (apt-get install seabios)\n", file("bios.bin").c_str());
        std::fflush(stdout);
        std::_Exit(77);
    }
    static std::string file(const char* name) {
        const char* const named = std::getenv("SEABIOS");
        return (std::filesystem::path(named != nullptr ? named : "/usr/share/seabios") / name).string();
    }
};

}  // namespace

BOOST_TEST_GLOBAL_FIXTURE(NeedsSeabios);

/// The second is the build for QEMU's newer machines, with drivers for PCI and USB.
BOOST_DATA_TEST_CASE(seabios_runs_until_it_finds_no_disk, boost::unit_test::data::make({"bios.bin", "bios-256k.bin"}),
                     name) {
    Child child(asyncvm({"--serial", "null", "--firmware", NeedsSeabios::file(name)}));
    child.wait_for_output("No bootable device.");
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_AUTO_TEST_CASE(seabios_starts_a_boot_sector_from_a_virtio_disk_on_the_pci_bus) {
    const TemporaryDirectory directory;
    const auto disk = directory.file("disk.img");
    auto sectors = read_file(guest_path("boot-sector"));
    sectors.resize(1 << 20);
    write_file(disk, sectors);
    Child child(asyncvm(
        {"--firmware", NeedsSeabios::file("bios-256k.bin"), "--transport", "pci", "--disk", disk, "--debugcon", "null"}));
    // Both on COM1: SeaBIOS has been told that its console is there.
    const auto text = child.wait_for_output("Hello from a boot sector");
    BOOST_TEST(text.find("SeaBIOS (version") != std::string::npos, text);
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}
