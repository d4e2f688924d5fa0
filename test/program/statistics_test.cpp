// --stats and SIGUSR1: what the program tells of a guest's exits, and when.
#define BOOST_TEST_MODULE program_statistics
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <regex>
#include <string>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

struct Files : TemporaryDirectory {
    Files() {
        write_file(spinning, spinning_guest);
        write_file(sleeping, sleeping_guest);
        write_file(serial, serial_guest);
    }

    std::string spinning = file("spinning");
    std::string sleeping = file("sleeping");
    std::string serial = file("serial");
    std::string coalesced = file("coalesced");
    std::string socket = file("socket");
};

/// Whether a line of `text` has these words, whatever is between them: "port:0xf2 .* 1".
bool has_line(const std::string& text, const std::string& words) {
    return std::regex_search(text, std::regex("(^|\n)" + std::regex_replace(words, std::regex(" "), " +") + "(\n|$)"));
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(the_end_of_a_run_tells_its_exits_on_the_standard_error, Files) {
    Child child(asyncvm({"--stats", serial}));
    const auto& ended = child.wait();
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(ended.out == "H");
    BOOST_TEST(ended.err.starts_with("asyncvm: statistics of "), ended.err);
    for (const auto* const line : {"port 1 [0-9]+", "halted 1 [0-9]+", "all 2 [0-9]+", "port:0x3f8-0x3ff uart16550 0 1 1 0",
                                   "vcpu0 ended - - .*", "serial0\\S* stdio 0 1"}) {
        BOOST_TEST(has_line(ended.err, line), "no line '" << line << "' in: " << ended.err);
    }
}

BOOST_FIXTURE_TEST_CASE(with_posted_writes_switched_off_each_is_an_exit, Files) {
    write_file(coalesced, posting_guest);
    Child child(asyncvm({"--posted-writes", "off", "--stats", coalesced}));
    const auto& ended = child.wait();
    BOOST_TEST(ended.code == 0);
    for (const auto* const line : {"port 20000 .*", "port:0x80 post 0 20000 20000 0"}) {
        BOOST_TEST(has_line(ended.err, line), "no line '" << line << "' in: " << ended.err);
    }
}

BOOST_FIXTURE_TEST_CASE(without_the_option_nothing_is_told, Files) {
    Child child(asyncvm({serial}));
    BOOST_TEST(child.wait().err == "");
}

BOOST_FIXTURE_TEST_CASE(a_signal_tells_what_a_running_guest_does, Files) {
    Child child(asyncvm({"--stats", spinning}));
    child.wait_for_output("S");
    // What the guest has printed is here before its vCPU goes on.
    child.wait_until("a vCPU in the guest", [&] {
        child.send_signal(SIGUSR1);
        return has_line(child.err(), "vcpu0 in-guest .*");
    });
    BOOST_TEST(has_line(child.err(), "port:0xe9 debugcon 0 1 1 0"), child.err());
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    BOOST_TEST(has_line(child.err(), "vcpu0 ended .*"), child.err());
}

BOOST_FIXTURE_TEST_CASE(a_signal_tells_which_device_a_vcpu_waits_for, Files) {
    Child child(asyncvm({"--stats", sleeping}));
    child.wait_for_output("S");
    child.wait_until("a vCPU that waits", [&] {
        child.send_signal(SIGUSR1);
        return has_line(child.err(), "vcpu0 waiting [^ ]+ port:0xf2 .*");
    });
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_FIXTURE_TEST_CASE(a_signal_before_the_guest_has_started_finds_nothing_yet, Files) {
    Child child(asyncvm({"--stats", "--serial", "unix:" + socket + ",wait", spinning}));
    child.wait_for_error(socket);
    child.send_signal(SIGUSR1);
    child.wait_for_error("asyncvm: statistics of 0ns");
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_FIXTURE_TEST_CASE(without_the_option_the_signal_ends_nothing_and_says_why_it_shows_nothing, Files) {
    Child child(asyncvm({spinning}));
    child.wait_for_output("S");
    child.send_signal(SIGUSR1);
    child.wait_for_error("start asyncvm with --stats");
    child.send_signal(SIGTERM);
    const auto& ended = child.wait();
    BOOST_TEST(ended.code == 128 + SIGTERM);
    BOOST_TEST(ended.err.find("statistics of") == std::string::npos, ended.err);
}
