// Every way to stop the program: it ends soon, with the right code, and leaves nothing behind.
#define BOOST_TEST_MODULE stop
#include "client.hpp"
#include "harness.hpp"
#include "serial_vm.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <string>
#include <vector>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

struct Files : TemporaryDirectory {
    Files() {
        write_file(spinning, spinning_guest);
        write_file(sleeping, sleeping_guest);
        write_file(serial, serial_guest);
        write_file(chattering, chattering_guest);
        write_file(echoing, echoing_guest);
    }

    std::string spinning = file("spinning");
    std::string sleeping = file("sleeping");
    std::string serial = file("serial");
    std::string chattering = file("chattering");
    std::string echoing = file("echoing");
    std::string socket = file("socket");
};

void check_end(Child& child, int code, const std::string& message) {
    const auto& ended = child.wait();
    BOOST_TEST(ended.code == code);
    BOOST_TEST(!ended.killed);
    BOOST_TEST(ended.err.find(message) != std::string::npos, "no '" << message << "' in: " << ended.err);
}

void check_signal(Child& child, int number, const std::string& name) {
    child.send_signal(number);
    check_end(child, 128 + number, "asyncvm: stopped by " + name);
}

/// A child on a terminal that it has made raw, with its guest running.
struct OnTerminal : Files {
    explicit OnTerminal(std::vector<std::string> options = {}) : child(command(std::move(options)), Console::terminal) {
        child.wait_for_output("S");
        BOOST_TEST_REQUIRE(child.terminal_is_raw());
    }
    std::vector<std::string> command(std::vector<std::string> options) {
        options.push_back(spinning);
        return asyncvm(options);
    }
    Child child;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(each_signal_stops_a_guest_that_spins, Files) {
    const std::pair<int, const char*> signals[] = {{SIGINT, "SIGINT"}, {SIGTERM, "SIGTERM"}, {SIGHUP, "SIGHUP"}};
    for (const auto& [number, name] : signals) {
        Child child(asyncvm({spinning}));
        child.wait_for_output("S");
        check_signal(child, number, name);
    }
}

BOOST_FIXTURE_TEST_CASE(each_signal_stops_a_guest_that_a_device_has_suspended, Files) {
    for (const int number : {SIGINT, SIGTERM}) {
        Child child(asyncvm({sleeping}));
        child.wait_for_output("S");
        check_signal(child, number, number == SIGINT ? "SIGINT" : "SIGTERM");
    }
}

BOOST_FIXTURE_TEST_CASE(a_signal_stops_all_vcpus, Files) {
    Child child(asyncvm({"--cpus", "3", spinning}));
    child.wait_for_output("SSS");
    check_signal(child, SIGTERM, "SIGTERM");
}

BOOST_FIXTURE_TEST_CASE(a_signal_ends_the_wait_for_the_first_client, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket + ",wait", spinning}));
    child.wait_for_error(socket);
    check_signal(child, SIGINT, "SIGINT");
    BOOST_TEST(child.out() == "", "the guest has run");
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(a_signal_ends_the_wait_for_a_reader_and_tells_what_is_lost, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket, serial}));
    child.wait_for_error_line("wait");
    check_signal(child, SIGTERM, "SIGTERM");
    BOOST_TEST(child.err().find("1 byte was not delivered") != std::string::npos, child.err());
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(no_linger_ends_at_once_with_the_guests_code_and_tells_what_is_lost, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket + ",linger=0", serial}));
    check_end(child, 0, "1 byte was not delivered");
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(a_signal_stops_a_guest_whose_output_nobody_takes, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket + ",backlog=4K", "--debugcon", "null", chattering}));
    child.wait_for_error(socket);
    check_signal(child, SIGTERM, "SIGTERM");
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(a_signal_stops_a_guest_whose_reader_has_stopped_reading, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket + ",backlog=4K", chattering}));
    child.wait_for_error(socket);
    UnixClient client(socket);
    client.wait_for_data();
    check_signal(child, SIGTERM, "SIGTERM");
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(a_signal_ends_the_wait_for_a_reader_that_has_stopped_reading, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket, serial}));
    child.wait_for_error(socket);
    UnixClient client(socket);
    client.wait_for_data();
    check_signal(child, SIGINT, "SIGINT");
    BOOST_TEST(client.read_to_end() == "H");
}

BOOST_FIXTURE_TEST_CASE(what_the_guest_printed_before_a_signal_still_reaches_a_client, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket, echoing}));
    child.wait_for_error(socket);
    UnixClient client(socket);
    client.write("last words");
    client.wait_for_data();
    child.send_signal(SIGTERM);
    BOOST_TEST(client.read_to_end().starts_with("l"));
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_FIXTURE_TEST_CASE(a_signal_that_comes_twice_as_timeout_sends_it_stops_in_order, Files) {
    // A client that is there but does not read keeps the first signal busy for a moment.
    Child child(asyncvm({"--stats", "--serial", "unix:" + socket, chattering}));
    child.wait_for_error(socket);
    UnixClient client(socket);
    client.wait_for_data();
    {
        const Frozen frozen(child);  // so that both are there when it sees the first
        child.send_signal(SIGTERM);
        child.send_signal(SIGINT);
    }
    const auto& ended = child.wait();
    BOOST_TEST(ended.err.find("asyncvm: stopped by SIG") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("not delivered") != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("asyncvm: statistics") != std::string::npos, ended.err);
    BOOST_TEST((ended.code == 128 + SIGTERM || ended.code == 128 + SIGINT), "exit code " << ended.code);
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(a_client_that_is_gone_stops_nothing, Files) {
    Child child(asyncvm({"--serial", "unix:" + socket, chattering}));
    child.wait_for_error(socket);
    {
        UnixClient client(socket);
        client.wait_for_data();
    }
    UnixClient next(socket);
    next.wait_for_data();
    next.close();
    check_signal(child, SIGTERM, "SIGTERM");
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(a_hangup_that_was_ignored_at_the_start_stays_ignored, Files) {
    Child child({"sh", "-c", "trap '' HUP; exec \"$0\" \"$1\"", asyncvm_path(), spinning});
    child.wait_for_output("S");
    child.send_signal(SIGHUP);
    check_signal(child, SIGTERM, "SIGTERM");
}

BOOST_FIXTURE_TEST_CASE(an_interrupt_that_a_shell_has_ignored_for_its_background_still_stops, Files) {
    Child child({"sh", "-c", "trap '' INT; exec \"$0\" \"$1\"", asyncvm_path(), spinning});
    child.wait_for_output("S");
    check_signal(child, SIGINT, "SIGINT");
}

BOOST_FIXTURE_TEST_CASE(the_end_of_the_standard_input_stops_nothing, Files) {
    Child child(asyncvm({spinning}));
    child.end_input();
    child.wait_for_output("S");
    check_signal(child, SIGTERM, "SIGTERM");
}

BOOST_FIXTURE_TEST_CASE(a_standard_output_that_is_gone_does_not_end_the_guest_by_sigpipe, Files) {
    Child child(asyncvm({echoing}));
    child.type("a");
    child.wait_for_output("a");
    child.close_output();
    child.type("b");
    check_signal(child, SIGTERM, "SIGTERM");
}

BOOST_AUTO_TEST_CASE(signals_restore_the_terminal) {
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        OnTerminal on;
        on.child.send_signal(number);
        check_end(on.child, 128 + number, "asyncvm: stopped by SIG");
        BOOST_TEST(on.child.terminal_is_untouched());
    }
}

BOOST_AUTO_TEST_CASE(control_a_x_ends_like_an_interrupt_and_restores_the_terminal) {
    OnTerminal on;
    on.child.type("\x01x");
    check_end(on.child, 130, "asyncvm: stopped by Ctrl-A x");
    BOOST_TEST(on.child.terminal_is_untouched());
}

BOOST_FIXTURE_TEST_CASE(control_c_on_the_terminal_belongs_to_the_guest, Files) {
    Child child(asyncvm({echoing}), Console::terminal);
    child.wait_until("a raw terminal", [&] { return child.terminal_is_raw(); });
    child.type("\x03z");
    child.wait_for_output("\x03z");
    check_signal(child, SIGTERM, "SIGTERM");
    BOOST_TEST(child.terminal_is_untouched());
}

BOOST_FIXTURE_TEST_CASE(a_guest_that_halts_leaves_the_terminal_as_it_was, Files) {
    Child child(asyncvm({serial}), Console::terminal);
    check_end(child, 0, "");
    BOOST_TEST(child.out() == "H");
    BOOST_TEST(child.terminal_is_untouched());
}

BOOST_AUTO_TEST_CASE(a_terminal_that_hangs_up_ends_the_program) {
    OnTerminal on;
    on.child.end_input();
    check_end(on.child, 128 + SIGHUP, "asyncvm: stopped by SIGHUP");
}
