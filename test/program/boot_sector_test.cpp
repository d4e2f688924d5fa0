// Boot sectors with the program's BIOS, as a person starts them.
#define BOOST_TEST_MODULE boot_sector
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// Prints the second sector of the drive that it was started with, up to a zero: xor ax, ax; mov es, ax; mov bx, 0x7e00;
/// mov ax, 0x201; mov cx, 2; mov dh, 0; int 0x13; mov si, 0x7e00; next: lodsb; test al, al; jz end; mov ah, 0xe; int 0x10;
/// jmp next; end: hlt
std::string printing_sector() {
    std::string sector = guest_code(
        "\x31\xc0\x8e\xc0\xbb\x00\x7e\xb8\x01\x02\xb9\x02\x00\xb6\x00\xcd\x13\xbe\x00\x7e"
        "\xac\x84\xc0\x74\x06\xb4\x0e\xcd\x10\xeb\xf5\xf4");
    sector.resize(510);
    return sector + "\x55\xaa";
}

std::string disk_with(const std::string& sector, const std::string& text, std::size_t size) {
    std::string disk = sector;
    disk.resize(512);
    disk += text;
    disk.resize(size);
    return disk;
}

}  // namespace

BOOST_AUTO_TEST_CASE(int_13h_reads_the_disk_that_is_given_instead_of_the_boot_sectors_file) {
    const TemporaryDirectory directory;
    const auto guest = directory.file("boot.img");
    write_file(guest, disk_with(printing_sector(), "its own file", 4096));
    const auto own = run_asyncvm({"--format", "boot", "--on-halt", "exit", guest});
    BOOST_TEST(own.out == "its own file", own.out + own.err);
    BOOST_TEST(own.code == 0);
    for (const std::size_t size : {1440 << 10, 4 << 20}) {  // a floppy disk, and a hard disk
        const auto disk = directory.file("disk.img");
        write_file(disk, disk_with("", "another disk", size));
        const auto other = run_asyncvm({"--format", "boot", "--on-halt", "exit", "--disk", disk, guest});
        BOOST_TEST(other.out == "another disk", other.out + other.err);
        BOOST_TEST(other.code == 0);
    }
}

BOOST_AUTO_TEST_CASE(a_disk_that_is_not_there_or_would_be_overwritten_is_refused) {
    const TemporaryDirectory directory;
    const auto guest = directory.file("boot.img");
    write_file(guest, printing_sector());
    const auto missing = run_asyncvm({"--format", "boot", "--disk", directory.file("none.img"), guest});
    BOOST_TEST(missing.code == 66);
    BOOST_TEST(missing.err.find("none.img") != std::string::npos, missing.err);
    const auto disk = directory.file("disk.img");
    write_file(disk, std::string(4096, 'd'));
    const auto overwritten = run_asyncvm({"--format", "boot", "--disk", disk, "--serial", "file:" + disk, guest});
    BOOST_TEST(overwritten.code == 64);
    BOOST_TEST(overwritten.err.find("is also the guest's disk") != std::string::npos, overwritten.err);
    BOOST_TEST(read_file(disk) == std::string(4096, 'd'));
}
