// What follows when a guest halts for good, and when it resets itself.
#define BOOST_TEST_MODULE halt
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

struct Guests : TemporaryDirectory {
    std::string put(std::string_view code) {
        write_file(file("guest"), code);
        return file("guest");
    }
};

/// mov dx, 0x3f8; mov al, 'X'; out dx, al; mov al, 0xfe; out 0x64, al; hlt -- prints, then pulses the reset line
const std::string resetting_guest = guest_code("\xba\xf8\x03\xb0X\xee\xb0\xfe\xe6\x64\xf4");

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_halt_is_an_end_or_a_failure_as_the_option_says, Guests) {
    const auto guest = put(halting_guest);
    for (const std::vector<std::string>& options : {std::vector<std::string>{}, {"--irqchip", "on"}}) {
        const auto with = [&](std::vector<std::string> more) {
            more.insert(more.end(), options.begin(), options.end());
            more.push_back(guest);
            return run_asyncvm(more);
        };
        BOOST_TEST(with({}).code == 0);
        BOOST_TEST(with({"--on-halt", "exit"}).code == 0);
        const auto failed = with({"--on-halt", "fail"});
        BOOST_TEST(failed.code == 86);
        BOOST_TEST(failed.err.find("asyncvm: the guest halted with interrupts off (vCPU 0)\n") != std::string::npos,
                   failed.err);
        BOOST_TEST(failed.err.find("registers of vCPU 0:") != std::string::npos, failed.err);
        BOOST_TEST(failed.err.find("hint: this is exit code 86") == std::string::npos, failed.err);
    }
    const auto unasked = run_asyncvm({"--machine", "pc", guest});
    BOOST_TEST(unasked.code == 86);
    BOOST_TEST(unasked.err.find("hint: this is exit code 86, because a panic ends like it") != std::string::npos, unasked.err);
    BOOST_TEST(run_asyncvm({"--machine", "pc", "--on-halt", "exit", guest}).err == "");
}

BOOST_FIXTURE_TEST_CASE(a_halted_guest_stays_until_it_is_stopped_if_that_is_asked_for, Guests) {
    Child child(asyncvm({"--on-halt", "wait", put(serial_guest)}));
    child.wait_for_output("H");
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 143);
}

BOOST_FIXTURE_TEST_CASE(a_reset_ends_the_program_or_starts_the_guest_anew, Guests) {
    const auto guest = put(resetting_guest);
    for (const std::vector<std::string>& options : {std::vector<std::string>{"--device", "i8042"}, {"--machine", "pc"}}) {
        auto arguments = options;
        arguments.push_back(guest);
        const auto ended = run_asyncvm(arguments);
        BOOST_TEST(ended.code == 82, ended.err);
        BOOST_TEST(ended.out == "X");
        arguments.insert(arguments.begin(), {"--reboot", "restart"});
        Child child(asyncvm(arguments));
        child.wait_for_output("XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX");
        child.send_signal(SIGTERM);
        BOOST_TEST(child.wait().code == 143);
    }
}
