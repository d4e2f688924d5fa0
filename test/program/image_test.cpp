// Guest files that can't be used, and hosts that lack something.
#define BOOST_TEST_MODULE image
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <filesystem>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

void check(const std::vector<std::string>& arguments, int code, const std::string& message) {
    const auto ended = run_asyncvm(arguments);
    BOOST_TEST_CONTEXT(ended.err) {
        BOOST_TEST(ended.code == code);
        BOOST_TEST(ended.out.empty());
        BOOST_TEST(ended.err.starts_with("asyncvm: "));
        BOOST_TEST(ended.err.find(message) != std::string::npos);
    }
}

struct Files : TemporaryDirectory {
    std::string put(std::string_view name, std::string_view content) {
        write_file(file(name), content);
        return file(name);
    }
};

/// The program in a mount namespace with a file in the place of /dev/kvm.
std::vector<std::string> with_kvm_replaced_by(const std::string& replacement, const std::vector<std::string>& arguments) {
    const std::string in_namespace = R"(mount --bind "$0" /dev/kvm || exit; echo replaced; exec "$@")";
    std::vector<std::string> command{"unshare", "--mount", "--map-root-user", "sh", "-c", in_namespace, replacement};
    const auto program = asyncvm(arguments);
    command.insert(command.end(), program.begin(), program.end());
    return command;
}

/// Where such a namespace is not allowed there is nothing to test.
bool was_replaced(const Ended& ended) {
    const bool replaced = ended.out.starts_with("replaced\n");
    if (!replaced) BOOST_TEST_MESSAGE("not tested, no mount namespace: " << ended.err);
    return replaced;
}

/// Sees who opens a file, by whatever name.
class Opened {
public:
    explicit Opened(const std::string& path) : inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
        BOOST_REQUIRE(::inotify_add_watch(inotify_, path.c_str(), IN_OPEN) >= 0);
    }
    ~Opened() { ::close(inotify_); }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;

    [[nodiscard]] bool since_last_time() const {
        std::array<char, 4096> events;
        return ::read(inotify_, events.data(), events.size()) > 0;
    }

private:
    int inotify_;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_guest_file_that_cannot_be_used_ends_with_66, Files) {
    check({"/no/such/guest.bin"}, 66, "cannot open /no/such/guest.bin: no such file or directory");
    check({file(".")}, 66, "it is a directory");
    check({put("empty", "")}, 66, "is empty");
    check({"--memory", "64K", "--load", "0xfff0", put("big", std::string(17, '\x90'))}, 66, "has 17 bytes, but only 16");
}

BOOST_FIXTURE_TEST_CASE(an_address_without_memory_ends_with_66, Files) {
    const auto guest = put("guest", halting_guest);
    check({"--load", "1G", guest}, 66, "--load 0x40000000 is outside");
    check({"--mode", "32", "--entry", "1G", guest}, 66, "--entry 0x40000000 is outside");
    check({"--entry", "0x100000", guest}, 66, "out of reach in 16-bit mode");
}

BOOST_FIXTURE_TEST_CASE(what_the_host_refuses_ends_with_72_and_its_reason, Files) {
    const auto guest = put("guest", halting_guest);
    check({"--serial", "file:/no/such/directory/out", guest}, 72, "/no/such/directory/out");
    check({"--serial", "unix:/no/such/directory/socket", guest}, 72, "/no/such/directory/socket");
    check({"--serial", "tcp:192.0.2.1:4444", guest}, 72, "192.0.2.1");
}

BOOST_FIXTURE_TEST_CASE(a_port_that_is_taken_ends_with_72, Files) {
    const auto guest = put("guest", spinning_guest);
    Child first(asyncvm({"--serial", "tcp:0", guest}));
    const auto line = first.wait_for_error_line("127.0.0.1:");
    const auto port = std::to_string(std::stoi(line.substr(line.find("127.0.0.1:") + 10)));
    check({"--serial", "tcp:" + port, guest}, 72, port);
}

BOOST_FIXTURE_TEST_CASE(a_file_that_is_no_socket_is_not_replaced, Files) {
    const auto precious = put("precious", "data");
    check({"--serial", "unix:" + precious, put("guest", halting_guest)}, 72, "precious");
    BOOST_TEST(read_file(precious) == "data");
}

BOOST_FIXTURE_TEST_CASE(a_failed_start_leaves_no_socket_file, Files) {
    check({"--serial", "unix:" + file("socket"), "--serial", "file:/no/such/directory/out", put("guest", halting_guest)}, 72,
          "/no/such/directory/out");
    BOOST_TEST(!std::filesystem::exists(file("socket")));
}

BOOST_FIXTURE_TEST_CASE(a_failed_start_leaves_the_terminal_as_it_was, Files) {
    Child child(asyncvm({"--serial", "stdio", "--serial", "file:/no/such/directory/out", put("guest", halting_guest)}),
                Console::terminal);
    BOOST_TEST(child.wait().code == 72);
    BOOST_TEST(child.terminal_is_untouched());
}

BOOST_FIXTURE_TEST_CASE(without_a_usable_kvm_the_program_says_what_is_missing, Files) {
    const auto guest = put("guest", halting_guest);
    const std::vector<std::vector<std::string>> commands{
        {"--accel", "kvm", guest},
        // No client is waited for.
        {"--accel", "kvm", "--serial", "unix:" + file("socket") + ",wait", guest},
        {"--accel", "kvm", "--serial", "tcp:127.0.0.1:1,client,wait", guest},
    };
    for (const auto& arguments : commands) {
        Child child(with_kvm_replaced_by("/dev/null", arguments));
        const auto& ended = child.wait();
        if (!was_replaced(ended)) return;
        BOOST_TEST_CONTEXT(ended.err) {
            BOOST_TEST(ended.code == 72);
            BOOST_TEST(ended.err.find("asyncvm: /dev/kvm is not KVM's device: ") != std::string::npos);
            BOOST_TEST(!std::filesystem::exists(file("socket")));
        }
    }
}

BOOST_FIXTURE_TEST_CASE(that_unicorn_stands_in_for_kvm_is_told_of_a_guest_that_runs, Files) {
    const auto guest = put("guest", halting_guest);
    const std::string note = "asyncvm: running on Unicorn, in software: /dev/kvm is not KVM's device: ";
    const auto run = [](const std::vector<std::string>& arguments) {
        Child child(with_kvm_replaced_by("/dev/null", arguments));
        return child.wait();
    };
    if (const auto unicorn = run_asyncvm({"--accel", "unicorn", guest}); unicorn.code != 0) {
        BOOST_TEST_MESSAGE("not tested, no Unicorn: " << unicorn.err);
        return;
    }
    const auto running = run({guest});
    if (!was_replaced(running)) return;
    BOOST_TEST(running.code == 0);
    BOOST_TEST(running.err.starts_with(note), running.err);
    BOOST_TEST(std::ranges::count(running.err, '\n') == 1);
    for (const auto& arguments : {std::vector<std::string>{"--serial", "tpc:4444", guest}, {file("nothing")}}) {
        const auto refused = run(arguments);
        BOOST_TEST(refused.code != 0);
        BOOST_TEST(refused.err.find("Unicorn") == std::string::npos, refused.err);
    }
}

BOOST_FIXTURE_TEST_CASE(kvm_is_opened_only_for_a_guest_that_may_run_on_it, Files) {
    const auto guest = put("guest", halting_guest);
    const auto replacement = put("replacement", "");
    const Opened opened(replacement);
    const std::vector<std::vector<std::string>> without{
        {"--version"}, {"--help"}, {"--accel", "unicorn", guest}, {"--no-such-option"}};
    for (const auto& arguments : without) {
        Child child(with_kvm_replaced_by(replacement, arguments));
        const auto& ended = child.wait();
        if (!was_replaced(ended)) return;
        BOOST_TEST(!opened.since_last_time(), arguments.front() << " has opened it: " << ended.err);
    }
    Child child(with_kvm_replaced_by(replacement, {"--accel", "kvm", guest}));
    BOOST_TEST(child.wait().code == 72);
    BOOST_TEST(opened.since_last_time());
}

BOOST_FIXTURE_TEST_CASE(standard_streams_that_are_closed_become_the_null_device, Files) {
    // Otherwise the first descriptors that are opened would be taken for the standard output and error.
    const auto guest = put("guest", spinning_guest);
    Child child({"sh", "-c", "exec \"$0\" --serial unix:\"$1\" \"$2\" <&- >&- 2>&-", asyncvm_path(), file("socket"), guest});
    child.wait_until("the socket", [&] { return std::filesystem::exists(file("socket")); });
    for (const auto* const fd : {"0", "1", "2"}) {
        const auto link = "/proc/" + std::to_string(child.pid()) + "/fd/" + fd;
        BOOST_TEST(std::filesystem::read_symlink(link).string() == "/dev/null");
    }
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}
