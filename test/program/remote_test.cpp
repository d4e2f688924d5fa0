// --device remote: options, the start, the end, and what a person is told.
#define BOOST_TEST_MODULE remote
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

namespace {

/// mov dx, 0x300; in al, dx; out 0xe9, al; hlt -- prints the first byte of the scratch register, an x
const std::string reading_guest = guest_code("\xba\x00\x03\xec\xe6\xe9\xf4");

/// mov dx, 0x300; mov al, 'S'; out 0xe9, al; again: in al, dx; jmp again
const std::string polling_guest = guest_code("\xba\x00\x03\xb0S\xe6\xe9\xec\xeb\xfd");

std::string peer(const std::string& words = {}) {
    const char* const path = std::getenv("REMOTE_PEER");
    if (path == nullptr) throw std::runtime_error("REMOTE_PEER is not set");
    return std::string(path) + (words.empty() ? "" : " ") + words;
}

struct Files {
    TemporaryDirectory directory;
    std::string guest(const std::string& code) const {
        write_file(directory.file("guest"), code);
        return directory.file("guest");
    }
};

std::vector<std::string> command(const std::string& options, const std::string& guest, std::vector<std::string> more = {}) {
    more.insert(more.end(), {"--device", "remote,port=0x300-0x30f," + options, guest});
    return asyncvm(more);
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_program_is_started_and_named_in_the_statistics, Files) {
    const auto ended = Child(command("exec=" + peer("name=scratch"), guest(reading_guest), {"--stats"})).wait();
    BOOST_TEST(ended.out == "x", ended.err);
    BOOST_TEST(ended.code == 0);
    BOOST_TEST(has(ended.err, "port:0x300-0x30f  remote scratch      1       0"), ended.err);
}

BOOST_FIXTURE_TEST_CASE(a_program_listens_or_asyncvm_does, Files) {
    const auto path = directory.file("socket");
    Child vm(command("listen=unix:" + path, guest(reading_guest)));
    vm.wait_for_error_line("remote: unix:" + path + " waits for a device to connect");
    const bool private_socket = (std::filesystem::status(path).permissions() & std::filesystem::perms::all) ==
                                (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
    BOOST_TEST(private_socket);
    Child device({peer(), "connect=" + path});
    BOOST_TEST(vm.wait().out == "x", vm.err());
    BOOST_TEST(!std::filesystem::exists(path));
    BOOST_TEST(device.wait().code == 0);  // the machine's end is the connection's
}

BOOST_FIXTURE_TEST_CASE(without_a_device_the_guest_does_not_start, Files) {
    const auto guest_file = guest(reading_guest);
    const auto ended = Child(command("timeout=20,connect=unix:" + directory.file("none"), guest_file)).wait();
    BOOST_TEST(ended.code == 72);
    BOOST_TEST(ended.out == "");
    BOOST_TEST(ended.err == "asyncvm: cannot use the device at unix:" + directory.file("none") +
                                ": no such file or directory (start it first, as this program's user)\n");
    const auto failing = Child(command("exec=exit 3", guest_file)).wait();
    BOOST_TEST(failing.code == 72);
    BOOST_TEST(failing.err == "asyncvm: cannot use the device at 'exit 3': it has closed the connection (exit code 3)\n");
    const auto mute = Child(command("timeout=10,exec=" + peer("conduct=mute"), guest_file)).wait();
    BOOST_TEST(mute.code == 72);
    BOOST_TEST(has(mute.err, "it has not answered VERSION for 100 ms"), mute.err);
}

BOOST_FIXTURE_TEST_CASE(a_signal_ends_every_wait, Files) {
    const auto path = directory.file("socket");
    Child waiting(command("listen=unix:" + path, guest(reading_guest)));
    waiting.wait_for_error_line("waits for a device to connect");
    waiting.send_signal(SIGTERM);
    BOOST_TEST(waiting.wait().code == 128 + SIGTERM, waiting.err());
    BOOST_TEST(!std::filesystem::exists(path));
    // The vCPU waits for an answer that never comes, or the device says too much.
    for (const auto* const conduct : {"mute-reads", "floods-irq", "floods-log", "deaf caps=3"}) {
        Child vm(command(std::string("timeout=3600000,irq=5,memory=rw,exec=") + peer(std::string("conduct=") + conduct),
                         guest(polling_guest)));
        vm.wait_for_output("S");
        vm.send_signal(SIGTERM);
        BOOST_TEST(vm.wait().code == 128 + SIGTERM, vm.err());
    }
}

BOOST_FIXTURE_TEST_CASE(its_program_ends_with_asyncvm_however_that_ends, Files) {
    const auto pid_file = directory.file("pid");
    const auto is_gone = [&] {
        const pid_t pid = std::stoi(read_file(pid_file));
        return ::kill(pid, 0) != 0 && errno == ESRCH;
    };
    // One that ignores the end of its input and SIGTERM is killed; the output comes when it is there.
    // `&` gives a program /dev/null as its input.
    const auto words =
        "exec 3<&0; trap '' TERM; echo $$ >" + pid_file + "; " + peer() + " <&3 & exec 3<&-; while :; do sleep 1; done";
    Child vm(command("exec=" + words, guest(polling_guest)));
    vm.wait_for_output("S");
    BOOST_TEST(!is_gone());
    vm.send_signal(SIGTERM);
    BOOST_TEST(vm.wait().code == 128 + SIGTERM, vm.err());
    BOOST_TEST(is_gone());
    // Killed itself, it closes the socket.
    Child killed(command("exec=echo $$ >" + pid_file + "; exec " + peer(), guest(polling_guest)));
    killed.wait_for_output("S");
    killed.send_signal(SIGKILL);
    (void)killed.wait();
    for (int i = 0; i < 10'000 && !is_gone(); ++i) ::usleep(1000);
    BOOST_TEST(is_gone());
}

BOOST_FIXTURE_TEST_CASE(mistakes_in_the_options_are_told_before_anything_is_opened, Files) {
    const auto guest_file = guest(reading_guest);
    const std::pair<const char*, const char*> mistakes[]{
        {"remote,port=0x300", "device remote: give one of connect=, listen= and exec= (for example exec=./device.py)"},
        {"remote,port=0x300,exec=a,listen=unix:b", "device remote: give one of connect="},
        {"remote,exec=a", "device remote: it has no port= and no mmio= (for example port=0x300-0x307)"},
        {"remote,exec=,port=1", "device remote: exec= needs a command (for example exec=./device.py)"},
        {"remote,exec=a,port=0x307-0x300", "port=0x307-0x300 is no list of ranges FIRST-LAST up to 0xffff"},
        {"remote,exec=a,port=0x10000", "is no list of ranges FIRST-LAST up to 0xffff"},
        {"remote,exec=a,port=0x3f8", "uart16550 is already at ports 0x3f8 to 0x3ff"},
        {"remote,exec=a,mmio=0x1000-0x1fff", "device remote: mmio=0x1000 is in the guest's RAM"},
        {"remote,exec=a,port=1,irq=24", "irq=24 is no list of lines from 0 to 23 (for example 5:6)"},
        {"remote,connect=a,port=1", "'a' is neither unix:PATH nor tcp:[HOST:]PORT (for example unix:/run/dev.sock)"},
        {"remote,connect=tcp:1:2,memory=map,port=1", "memory=map hands descriptors over, which only unix: and exec= can"},
        {"remote,exec=a,port=1,lost=wait,reconnect=off", "lost=wait waits for a connection that reconnect=off excludes"},
        {"remote,exec=a,port=1,timeout=0", "timeout=0 would never rest (give milliseconds)"},
        {"remote,exec=a,port=1,memory=all", "memory=all is not one of: none, ro, rw, map"}};
    for (const auto& [options, message] : mistakes) {
        const auto ended = run_asyncvm({"--device", options, guest_file});
        BOOST_TEST(ended.code == 64, ended.err);
        BOOST_TEST(has(ended.err, message), options << ": " << ended.err);
    }
    const auto unshared = Child(command("memory=map,exec=" + peer(), guest_file)).wait();
    BOOST_TEST(unshared.code == 64);
    BOOST_TEST(has(unshared.err, "device remote: memory=map needs shared guest memory (--memory-share on)"), unshared.err);
}
