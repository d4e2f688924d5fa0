// A host that lacks threads, descriptors, memory or an answer: each is a message with its name and a documented exit code.
#define BOOST_TEST_MODULE lacks
#include "client.hpp"
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED
#endif
#endif

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

struct Files : TemporaryDirectory {
    Files() {
        write_file(serial, serial_guest);
        write_file(spinning, spinning_guest);
        // mov al, 'S'; out 0xe9, al
        write_file(chattering, guest_code("\xb0S\xe6\xe9") + chattering_guest);
    }
    std::string serial = file("serial");
    std::string spinning = file("spinning");
    std::string chattering = file("chattering");
    std::string socket = file("socket");
};

/// The program on a host that lacks `what` (lacks.cpp).
std::vector<std::string> lacking(const std::string& what, std::vector<std::string> arguments) {
    auto command = asyncvm(std::move(arguments));
    command.insert(command.begin(), {"env", std::string("LD_PRELOAD=") + std::getenv("LACKS"), "LACK=" + what});
    return command;
}

/// Ended by itself, with an exit code and messages that the documentation knows.
void check_said(const Ended& ended, const std::string& hint) {
    BOOST_TEST(!ended.killed, ended.err);
    BOOST_TEST((ended.code == 0 || ended.code == 66 || ended.code == 72), ended.code << ": " << ended.err);
    if (ended.code != 0) BOOST_TEST(ended.err.find(hint) != std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("ad file descriptor") == std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("asyncvm: epoll") == std::string::npos, ended.err);
    BOOST_TEST(ended.err.find("thread:") == std::string::npos, ended.err);
}

std::size_t virtual_size(pid_t process) {
    std::ifstream status("/proc/" + std::to_string(process) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmSize:")) return std::stoull(line.substr(7)) << 10;
    }
    return 0;
}

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_thread_that_is_refused_is_named, Files) {
    bool refused = false;
    for (int threads = 0; threads < 5; ++threads) {
        Child child(lacking("threads:" + std::to_string(threads), {"--serial", "unix:" + socket + ",linger=0", serial}));
        check_said(child.wait(), "ulimit -u");
        refused = refused || child.wait().code == 72;
    }
    BOOST_TEST(refused);
}

BOOST_FIXTURE_TEST_CASE(a_thread_for_a_name_that_is_refused_is_named, Files) {
    bool named = false;
    for (int threads = 0; threads < 5; ++threads) {
        Child child(lacking("threads:" + std::to_string(threads), {"--serial", "tcp:localhost:1,client", spinning}));
        child.wait_until("an end, or no connection", [&] {
            return child.err().find("cannot connect") != std::string::npos || child.err().find("vCPU") != std::string::npos;
        });
        // Without a thread for the vCPU it ends by itself, and the signal may come when that is nearly done.
        ::kill(child.pid(), SIGTERM);
        const auto& ended = child.wait();
        BOOST_TEST((ended.code == 72 || ended.code == 128 + SIGTERM), ended.code << ": " << ended.err);
        named =
            named || ended.err.find("no thread to look the name up: resource temporarily unavailable") != std::string::npos;
    }
    BOOST_TEST(named);
}

BOOST_AUTO_TEST_CASE(a_probe_without_threads_says_so) {
    Child child(lacking("threads:0", {"--probe"}));
    check_said(child.wait(), "ulimit -u");
}

BOOST_FIXTURE_TEST_CASE(descriptors_that_are_refused_are_named, Files) {
    for (int descriptors = 4; descriptors < 24; ++descriptors) {
        // A sanitizer looks for leaks with descriptors of its own.
        Child child(with_sanitizer_options(
            "detect_leaks=0", {"sh", "-c", "ulimit -n " + std::to_string(descriptors) + "; exec \"$0\" \"$@\"",
                               asyncvm_path(), "--accel", "kvm", "--serial", "unix:" + socket + ",linger=0", serial}));
        const auto& ended = child.wait();
        check_said(ended, "oo many open files");
        BOOST_TEST(!std::filesystem::exists(socket));
    }
}

BOOST_FIXTURE_TEST_CASE(addresses_that_are_refused_to_unicorn_are_named, Files) {
#ifdef SANITIZED
    BOOST_TEST_MESSAGE("SKIP: a sanitizer reserves terabytes");
#else
    const std::vector<std::string> arguments{"--accel", "unicorn", "-m", "1M", "--serial", "null", serial};
    if (Child unlimited(asyncvm(arguments)); unlimited.wait().code != 0) {
        BOOST_TEST_MESSAGE("SKIP: built without Unicorn: " << unlimited.err());
        return;
    }
    bool refused = false;
    for (const unsigned mib : {100, 150, 200, 400, 800, 1000, 1600}) {
        auto command = asyncvm(arguments);
        command.insert(command.begin(), {"sh", "-c", "ulimit -v " + std::to_string(mib << 10) + "; exec \"$0\" \"$@\""});
        Child child(command);
        check_said(child.wait(), "ulimit -v");
        refused = refused || child.wait().code == 72;
    }
    BOOST_TEST(refused);
#endif
}

BOOST_FIXTURE_TEST_CASE(memory_that_is_refused_stops_the_guest_and_what_it_printed_is_delivered, Files) {
    Child child(asyncvm({"-m", "1M", "--posted-writes", "off", "--serial", "unix:" + socket + ",backlog=512M", "--debugcon",
                         "stdio", chattering}));
    child.wait_for_output("S");
    if (virtual_size(child.pid()) > std::size_t{1} << 40) {
        BOOST_TEST_MESSAGE("SKIP: a sanitizer reserves terabytes, and ends the program itself when it gets none");
        return;
    }
    const rlimit now{virtual_size(child.pid()), RLIM_INFINITY};
    BOOST_TEST_REQUIRE(::prlimit(child.pid(), RLIMIT_AS, &now, nullptr) == 0);
    child.wait_for_error("out of memory: the guest is stopped");
    UnixClient client(socket);
    const auto all = client.read_to_end();
    BOOST_TEST(!all.empty());
    BOOST_TEST((static_cast<std::size_t>(std::ranges::count(all, 'x')) == all.size()));
    BOOST_TEST(child.wait().code == 72);
    BOOST_TEST(child.err().find("not delivered") == std::string::npos, child.err());
}

BOOST_FIXTURE_TEST_CASE(a_signal_right_after_bind_leaves_no_socket_file, Files) {
    Child child(with_sanitizer_options("report_thread_leaks=0", lacking("time", {"--serial", "unix:" + socket, spinning})));
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(a_silent_name_server_holds_no_signal_up, Files) {
    Child child(lacking("names", {"--serial", "tcp:some.host:1,client", spinning}));
    child.wait_for_output("S");
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    BOOST_TEST(child.err().find("stopped by SIGTERM") != std::string::npos, child.err());
}

BOOST_FIXTURE_TEST_CASE(a_silent_name_server_holds_no_signal_up_when_the_name_is_to_be_listened_on, Files) {
    // It ends at once, with its threads.
    Child child(with_sanitizer_options(
        "report_thread_leaks=0", lacking("names", {"--serial", "unix:" + socket, "--serial", "tcp:some.host:1", spinning})));
    child.wait_until("the first of two listeners", [&] { return std::filesystem::exists(socket); });
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    BOOST_TEST(!std::filesystem::exists(socket));
}
