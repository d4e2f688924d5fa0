// The program's own clients of the control socket, as people and scripts use them.
#define BOOST_TEST_MODULE ctl
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/test/unit_test.hpp>

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include "harness.hpp"
#include "small_guests.hpp"

using namespace program_test;

namespace {

/// A guest that runs until it is stopped.
struct Asked : TemporaryDirectory {
    Asked() {
        write_file(file("guest"), spinning_guest);
        child = std::make_unique<Child>(
            asyncvm({"--control", "unix:" + socket, "--stats", "--serial", "null", file("guest")}));
        child->wait_for_output("S");
    }

    Ended ctl(std::vector<std::string> words) const {
        words.insert(words.begin(), {"ctl", socket});
        return run_asyncvm(std::move(words));
    }

    std::string socket = file("vm");
    std::unique_ptr<Child> child;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(mistakes_are_answered_with_what_a_person_can_do, Asked) {
    const auto misspelt = ctl({"query-statuss"});
    BOOST_TEST(misspelt.code == 88);
    BOOST_TEST(misspelt.err.ends_with("has not been found (did you mean query-status?)\n"), misspelt.err);
    const auto incomplete = ctl({"pmemsave", "val=0"});
    BOOST_TEST(incomplete.code == 88);
    BOOST_TEST(incomplete.err == "asyncvm: pmemsave: Parameter 'size' is missing (pmemsave takes val= size= filename=)\n");
    BOOST_TEST(ctl({"stop", "now=1"}).err.ends_with("(stop takes no arguments)\n"));
    BOOST_TEST(ctl({"dump-guest-memory", "paging=false", "protocol=" + file("core")}).err ==
               "asyncvm: dump-guest-memory: Invalid parameter 'protocol' (example: protocol=file:/tmp/guest.core)\n");
    const auto words = ctl({"pmemsave", "0", "16"});
    BOOST_TEST(words.code == 64);
    BOOST_TEST(words.err == "asyncvm: asyncvm ctl: '0' is not NAME=VALUE (pmemsave takes val= size= filename=)\n"
                            "asyncvm: see asyncvm ctl --help\n");
    for (const auto& help : {std::vector<std::string>{"--help"}, {"-h"}})
        BOOST_TEST(ctl(help).out.starts_with("usage: asyncvm ctl "));
}

BOOST_FIXTURE_TEST_CASE(an_empty_list_is_a_list_and_an_empty_answer_is_nothing, Asked) {
    BOOST_TEST(ctl({"query-block"}).out == "[]\n");
    BOOST_TEST(ctl({"stop"}).out == "");
}

BOOST_FIXTURE_TEST_CASE(numbers_have_the_units_of_the_command_line, Asked) {
    BOOST_TEST(ctl({"pmemsave", "val=64K", "size=0x4", "filename=" + file("4")}).code == 0);
    BOOST_TEST(read_file(file("4")) == std::string(spinning_guest).substr(0, 4));
    BOOST_TEST(ctl({"pmemsave", "val=0x1K", "size=1k", "filename=" + file("1K")}).code == 0);
    BOOST_TEST(read_file(file("1K")) == std::string(1024, '\0'));
    for (const auto* const number : {"val=K", "val=99999999999G", "val=1.5M", "val=-1K"})
        BOOST_TEST(ctl({"pmemsave", number, "size=1", "filename=" + file("x")}).code == 88);
    // A name that looks like a size stays a name.
    const auto label = ctl({"chardev-change", "id=4M", "spec=null"});
    BOOST_TEST(label.err == "asyncvm: chardev-change: Chardev '4M' does not exist\n");
}

BOOST_FIXTURE_TEST_CASE(a_line_of_the_monitor_needs_no_quotes, Asked) {
    BOOST_TEST(ctl({"hmp", "info", "status"}).out == "VM status: running\n");
    BOOST_TEST(ctl({"hmp", "print $cs.base + 0x10"}).out == "0x10010\n");
    BOOST_TEST(ctl({"hmp", "cpu-index=0", "info", "status"}).out == "VM status: running\n");
    BOOST_TEST(ctl({"hmp", "cpu-index=7", "print", "$pc"}).code == 88);
    const auto bare = ctl({"hmp"});
    BOOST_TEST(bare.code == 64);
    BOOST_TEST(bare.err.find("hmp needs a line") != std::string::npos, bare.err);
}

BOOST_AUTO_TEST_CASE(a_machine_that_takes_nobody_is_not_said_to_have_ended) {
    TemporaryDirectory files;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    files.file("vm").copy(address.sun_path, sizeof address.sun_path - 1);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    BOOST_TEST_REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    BOOST_TEST_REQUIRE(::listen(listener, 1) == 0);
    Child ctl(asyncvm({"ctl", files.file("vm"), "stop"}));
    ::close(::accept(listener, nullptr, nullptr));
    BOOST_TEST(ctl.wait().code == 72);
    BOOST_TEST(ctl.err() ==
               "asyncvm: " + files.file("vm") + " takes nobody: its machine ends just now, or is another user's\n");
    ::close(listener);
}

BOOST_FIXTURE_TEST_CASE(on_a_terminal_the_table_is_drawn_again_in_place, Asked) {
    Child top(asyncvm({"top", socket, "0.1"}), Console::terminal);
    const auto& shown = top.wait_for_output("\x1b[H\x1b[JvCPU ");
    BOOST_TEST(shown.starts_with("\x1b[H\x1b[J"));
    top.send_signal(SIGINT);
    BOOST_TEST(top.wait().code == 130);
}

BOOST_AUTO_TEST_CASE(events_tell_an_end_from_a_machine_that_was_killed) {
    const auto listen = [](const Asked& machine, Child& events) {
        events.wait_until("an event", [&] {
            static_cast<void>(machine.ctl({"stop"}));
            static_cast<void>(machine.ctl({"cont"}));
            return events.out().find("\"STOP\"") != std::string::npos;
        });
    };
    const Asked orderly;
    Child until_its_end(asyncvm({"ctl", orderly.socket, "events"}));
    listen(orderly, until_its_end);
    BOOST_TEST(orderly.ctl({"quit"}).code == 0);
    BOOST_TEST(until_its_end.wait().code == 0);
    BOOST_TEST(until_its_end.err() == "");
    const Asked killed;
    Child until_then(asyncvm({"ctl", killed.socket, "events"}));
    listen(killed, until_then);
    killed.child->send_signal(SIGKILL);
    BOOST_TEST(until_then.wait().code == 72);
    BOOST_TEST(until_then.err().find("the machine has ended without SHUTDOWN") != std::string::npos, until_then.err());
}

BOOST_FIXTURE_TEST_CASE(a_reader_who_has_seen_enough_ends_it_without_a_word, Asked) {
    Child top(asyncvm({"top", socket, "0.1"}));
    top.wait_for_output("vcpu0 ");
    top.close_output();
    const auto ended = top.wait();
    BOOST_TEST(ended.code == 128 + SIGPIPE);
    BOOST_TEST(ended.killed);
    BOOST_TEST(ended.err == "");
}
