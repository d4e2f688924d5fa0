// Firmware: a small one of the test's own, and SeaBIOS where Debian's package is installed.
#define BOOST_TEST_MODULE firmware
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstdlib>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// mov dx, 0x604; mov ax, 0x3400; out dx, ax; hlt
const std::string power_off = guest_code("\xba\x04\x06\xb8\x00\x34\xef\xf4");

/// mov dx, 0xcf9; mov al, 6; out dx, al; hlt
const std::string reset = guest_code("\xba\xf9\x0c\xb0\x06\xee\xf4");

/// The reset vector jumps to the first byte of the last 64 KiB. The code there runs below 4 GiB. It makes the 1 in its copy
/// below 1 MiB a 2, prints its own digit, makes that an X and jumps to the copy, which prints its digit, too, and does what
/// `end` says.
std::string firmware(std::size_t size, const std::string& end) {
    std::string code(64 << 10, '\0');
    // mov dx, 0x3f8; mov si, 0x1000; next: cs lodsb; test al, al; jz end; out dx, al; jmp next; end:
    const std::string print = guest_code("\xba\xf8\x03\xbe\x00\x10\x2e\xac\x84\xc0\x74\x03\xee\xeb\xf7");
    // mov ax, 0xf000; mov ds, ax; mov byte [0x1000], '2'
    const std::string high = guest_code("\xb8\x00\xf0\x8e\xd8\xc6\x06\x00\x10\x32") + print +
                             // mov byte cs:[0x1000], 'X'; jmp 0xf000:0x100
                             guest_code("\x2e\xc6\x06\x00\x10\x58\xea\x00\x01\x00\xf0");
    code.replace(0, high.size(), high);
    code.replace(0x100, print.size() + end.size(), print + end);
    code[0x1000] = '1';
    code.replace(0xfff0, 3, guest_code("\xe9\x0d\x00"));  // jmp 0
    return std::string(size - code.size(), '\0') + code;
}

}  // namespace

BOOST_AUTO_TEST_CASE(firmware_starts_at_the_reset_vector_and_finds_its_copy_below_1_mib) {
    const TemporaryDirectory directory;
    const auto path = directory.file("firmware.bin");
    for (const std::size_t size : {64 << 10, 128 << 10, 256 << 10}) {
        write_file(path, firmware(size, power_off));
        const auto ended = run_asyncvm({"--firmware", path});
        BOOST_TEST(ended.out == "12", ended.out + ended.err);
        BOOST_TEST(ended.code == 0, ended.err);
    }
}

BOOST_AUTO_TEST_CASE(a_reset_starts_the_firmware_as_it_was) {
    const TemporaryDirectory directory;
    const auto path = directory.file("firmware.bin");
    write_file(path, firmware(64 << 10, reset));
    Child child(asyncvm({"--reboot", "restart", "--firmware", path}));
    BOOST_TEST(child.wait_for_output("1212").starts_with("1212"));
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_AUTO_TEST_CASE(what_can_be_no_firmware_and_what_does_not_go_with_it_is_refused) {
    const TemporaryDirectory directory;
    const auto path = directory.file("firmware.bin");
    write_file(path, std::string(512 << 10, '\0'));
    const auto large = run_asyncvm({"--firmware", path});
    BOOST_TEST(large.code == 66);
    BOOST_TEST(large.err.find("firmware has 64 to 256 KiB") != std::string::npos, large.err);
    write_file(path, firmware(64 << 10, power_off));
    for (const auto& [option, value] :
         {std::pair{"--format", "flat"}, {"--append", "quiet"}, {"--load", "4K"}}) {
        const auto refused = run_asyncvm({"--firmware", path, option, value});
        BOOST_TEST(refused.code == 64, option << ": " << refused.err);
    }
    const auto both = run_asyncvm({"--firmware", path, guest_path("sum")});
    BOOST_TEST(both.code == 64);
    BOOST_TEST(both.err.find("the firmware is the guest") != std::string::npos, both.err);
}
