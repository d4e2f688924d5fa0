// A guest that hangs explains itself: at the signal that stops it, and at SIGQUIT while it goes on.
#define BOOST_TEST_MODULE stuck
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <cstdlib>
#include <string>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

struct Files : TemporaryDirectory {
    Files() {
        write_file(polling, guest_code("\xb9\xe8\x03\xe4\x64\xe2\xfc\xb0S\xe6\xe9\xe4\x64\xeb\xfc"));
        write_file(spinning, spinning_guest);
        write_file(sleeping, sleeping_guest);
    }
    /// mov cx, 1000; first: in al, 0x64; loop first; mov al, 'S'; out 0xe9, al; again: in al, 0x64; jmp again
    std::string polling = file("polling");
    std::string spinning = file("spinning");
    std::string sleeping = file("sleeping");
};

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_first_stop_signal_shows_what_the_guest_waits_for, Files) {
    Child child(asyncvm({polling}));
    child.wait_for_output("S");
    child.send_signal(SIGTERM);
    const auto& ended = child.wait();
    BOOST_TEST(ended.code == 128 + SIGTERM);
    BOOST_TEST(has(ended.err, "asyncvm: running at 0x100"), ended.err);
    BOOST_TEST(has(ended.err, "in 0x64 -> 0xff (no device) at rip 0x"), ended.err);
    BOOST_TEST(has(ended.err, ", 1000 times\n"), ended.err);
    BOOST_TEST(has(ended.err, "the keyboard controller of a PC, which this machine does not have"), ended.err);
    BOOST_TEST(has(ended.err, "registers of vCPU 0:"), ended.err);
    BOOST_TEST(ended.err.find("registers of vCPU 0:") < ended.err.find("asyncvm: stopped by SIGTERM"), ended.err);
}

BOOST_FIXTURE_TEST_CASE(sigquit_shows_each_vcpu_and_the_guest_goes_on, Files) {
    Child child(asyncvm({"--cpus", "2", spinning}));
    child.wait_for_output("SS");
    for (int i = 0; i < 2; ++i) {
        const auto before = child.err().size();
        child.send_signal(SIGQUIT);
        child.wait_until("two reports",
                         [&] { return child.err().find("registers of vCPU 1:", before) != std::string::npos; });
        BOOST_TEST(child.err().find("running at 0x10004 (vCPU 0)", before) != std::string::npos, child.err());
        BOOST_TEST(child.err().find("running at 0x10004 (vCPU 1)", before) != std::string::npos, child.err());
    }
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_FIXTURE_TEST_CASE(a_guest_that_a_device_holds_up_names_the_device, Files) {
    Child child(asyncvm({sleeping}));
    child.wait_for_output("S");
    child.wait_until("a report about the device", [&] {
        child.send_signal(SIGQUIT);
        return has(child.err(), "it waits for device sleep (port 0xf2)\n");
    });
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_FIXTURE_TEST_CASE(a_stop_while_the_output_of_a_guest_that_has_ended_waits_has_no_report, Files) {
    const auto serial = file("serial");
    write_file(serial, serial_guest);
    Child child(asyncvm({"--serial", "unix:" + file("socket"), serial}));
    child.wait_for_error("the guest has ended");
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    BOOST_TEST(!has(child.err(), "registers"), child.err());
}

BOOST_FIXTURE_TEST_CASE(without_a_guest_that_runs_a_stop_has_no_report, Files) {
    Child child(asyncvm({"--serial", "unix:" + file("socket") + ",wait", spinning}));
    child.wait_for_error("listens on");
    child.send_signal(SIGQUIT);
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    BOOST_TEST(!has(child.err(), "registers"), child.err());
}
