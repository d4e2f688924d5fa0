// Signals that people do not send by hand, signals that come early, and a standard error that nobody reads.
#define BOOST_TEST_MODULE signals
#include "client.hpp"
#include "harness.hpp"
#include "small_guests.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <string>
#include <utility>

using namespace program_test;

BOOST_TEST_GLOBAL_FIXTURE(NeedsKvm);

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER
#endif
#endif

namespace {

#ifdef UNDER_THREAD_SANITIZER
constexpr bool thread_sanitizer = true;
#else
constexpr bool thread_sanitizer = false;
#endif

/// Whether the program handles `number`: the mask in /proc says so.
bool handles(const Child& child, int number) {
    std::ifstream status("/proc/" + std::to_string(child.pid()) + "/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("SigCgt:")) return (std::stoull(line.substr(7), nullptr, 16) >> (number - 1) & 1) != 0;
    }
    return false;
}

struct Files : TemporaryDirectory {
    Files() {
        write_file(spinning, spinning_guest);
        write_file(chattering, chattering_guest);
    }
    std::string spinning = file("spinning");
    std::string chattering = file("chattering");
    std::string socket = file("socket");
};

/// A pipe with a name that is full.
struct FullPipe {
    explicit FullPipe(std::string at) : path(std::move(at)) {
        BOOST_TEST_REQUIRE(::mkfifo(path.c_str(), 0600) == 0);
        fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
        const std::string page(4096, '.');
        while (::write(fd, page.data(), page.size()) > 0) filled += page.size();
    }
    ~FullPipe() { ::close(fd); }

    /// What is there now.
    std::string read_some() const {
        std::string text(65536, '\0');
        const auto count = ::read(fd, text.data(), text.size());
        text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
        return text;
    }

    /// The program with its standard error in this pipe.
    std::vector<std::string> command(std::vector<std::string> arguments) const {
        arguments.insert(arguments.begin(), {"sh", "-c", "exec \"$0\" \"$@\" 2>" + path, asyncvm_path()});
        return arguments;
    }

    std::string path;
    int fd = -1;
    std::size_t filled = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(every_signal_that_ends_a_program_stops_in_order_and_puts_everything_back, Files) {
    const std::pair<int, const char*> signals[] = {
        {SIGXCPU, "SIGXCPU"},     {SIGUSR2, "SIGUSR2"},     {SIGALRM, "SIGALRM"},
        {SIGVTALRM, "SIGVTALRM"}, {SIGPROF, "SIGPROF"},     {SIGPWR, "SIGPWR"},
        {SIGIO, "SIGIO"},         {SIGSTKFLT, "SIGSTKFLT"}, {SIGRTMIN + 3, "a real-time signal"}};
    for (const auto& [number, name] : signals) {
        Child child(asyncvm({"--serial", "stdio", "--serial", "unix:" + socket, spinning}), Console::terminal);
        child.wait_for_output("S");
        BOOST_TEST_REQUIRE(child.terminal_is_raw());
        child.send_signal(number);
        const auto& ended = child.wait();
        BOOST_TEST(ended.code == 128 + number);
        BOOST_TEST(ended.err.find(std::string("asyncvm: stopped by ") + name) != std::string::npos, ended.err);
        BOOST_TEST(child.terminal_is_untouched(), name);
        BOOST_TEST(!std::filesystem::exists(socket), name);
    }
}

BOOST_FIXTURE_TEST_CASE(a_fault_puts_everything_back, Files) {
    if (thread_sanitizer) {
        BOOST_TEST_MESSAGE("SKIP: ThreadSanitizer waits for itself if a fault is sent while it works");
        return;
    }
    for (const int number : {SIGSEGV, SIGABRT, SIGBUS, SIGSYS}) {
        // A sanitizer would end the program in its own way.
        Child child(with_sanitizer_options("handle_segv=0:handle_sigbus=0",
                                           {"sh", "-c", "ulimit -c 0; exec \"$0\" \"$@\"", asyncvm_path(), "--serial",
                                            "stdio", "--serial", "unix:" + socket, spinning}),
                    Console::terminal);
        child.wait_for_output("S");
        child.send_signal(number);
        const auto& ended = child.wait();
        BOOST_TEST(ended.code == 128 + number);
        BOOST_TEST(child.terminal_is_untouched(), number);
        BOOST_TEST(!std::filesystem::exists(socket), number);
    }
}

BOOST_FIXTURE_TEST_CASE(a_limit_for_the_size_of_files_is_a_full_disk, Files) {
    const auto out = file("out");
    Child child({"sh", "-c", "ulimit -f 8; exec \"$0\" \"$@\"", asyncvm_path(), "--serial", "file:" + out, chattering});
    child.wait_for_error("cannot write " + out + ": file too large");
    child.send_signal(SIGTERM);
    const auto& ended = child.wait();
    BOOST_TEST(ended.code == 128 + SIGTERM);
    BOOST_TEST(ended.err.find("not delivered") != std::string::npos, ended.err);
    BOOST_TEST(read_file(out) == std::string(4096, 'x'));
}

BOOST_FIXTURE_TEST_CASE(a_standard_error_that_nobody_reads_holds_no_signal_up, Files) {
    const FullPipe pipe(file("pipe"));
    Child child(pipe.command({"-v", "--stats", "--serial", "unix:" + socket, spinning}));
    child.wait_for_output("S");
    child.send_signal(SIGUSR1);
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    BOOST_TEST(!std::filesystem::exists(socket));
}

BOOST_FIXTURE_TEST_CASE(what_a_full_standard_error_did_not_take_comes_when_it_is_read, Files) {
    const FullPipe pipe(file("pipe"));
    Child child(pipe.command({"--serial", "unix:" + socket, spinning}));
    child.wait_for_output("S");
    std::string said;
    child.wait_until("the first message", [&] {
        said += pipe.read_some();
        return said.find("listens on unix:" + socket + "\n") != std::string::npos;
    });
    BOOST_TEST(said.starts_with(std::string(pipe.filled, '.') + "asyncvm: "));
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
    said = pipe.read_some();
    BOOST_TEST(said.find("asyncvm: stopped by SIGTERM") != std::string::npos, said);
}

BOOST_AUTO_TEST_CASE(a_request_for_statistics_while_the_guest_comes_through_a_pipe_waits_for_its_start) {
    Child child(asyncvm({"--stats", "-"}));
    child.wait_until("a program that knows SIGUSR1", [&] { return handles(child, SIGUSR1); });
    child.send_signal(SIGUSR1);
    child.type(spinning_guest);
    child.end_input();
    child.wait_for_error("asyncvm: statistics");
    child.send_signal(SIGTERM);
    BOOST_TEST(child.wait().code == 128 + SIGTERM);
}

BOOST_AUTO_TEST_CASE(a_request_for_statistics_does_not_end_a_probe) {
    Child child(asyncvm({"--probe"}));
    child.wait_until("a program that knows SIGUSR1", [&] { return handles(child, SIGUSR1); });
    child.send_signal(SIGUSR1);
    BOOST_TEST(child.wait().code == 0);
}
