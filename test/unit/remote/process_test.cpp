// Programs that are started: what they inherit, how they end, what is left of them.
#define BOOST_TEST_MODULE remote_process
#include "remote/process.hpp"

#include <boost/test/unit_test.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

using namespace asyncvm;
using namespace asyncvm::remote;

namespace {

constexpr int patience = 60'000;  // ms

/// Everything that the program writes until it closes its output, or `until` has come.
std::string read_all(const UniqueFd& socket, std::string_view until = {}) {
    std::string text;
    for (;;) {
        pollfd ready{.fd = socket.get(), .events = POLLIN, .revents = 0};
        BOOST_REQUIRE(::poll(&ready, 1, patience) == 1);
        char buffer[4096];
        const auto got = ::read(socket.get(), buffer, sizeof buffer);
        if (got <= 0) return text;
        text.append(buffer, static_cast<std::size_t>(got));
        if (!until.empty() && text.find(until) != text.npos) return text;
    }
}

void wait_for_end(Process& process) {
    pollfd ready{.fd = process.pidfd(), .events = POLLIN, .revents = 0};
    BOOST_REQUIRE(::poll(&ready, 1, patience) == 1);
    BOOST_REQUIRE(process.ended());
}

}  // namespace

BOOST_AUTO_TEST_CASE(it_has_the_socket_as_input_and_output_and_nothing_else_of_ours) {
    const UniqueFd inheritable(::open("/dev/null", O_RDONLY));  // without O_CLOEXEC
    const UniqueFd high(::fcntl(inheritable.get(), F_DUPFD, 200));
    UniqueFd socket;
    Process process("cat; ls -o -g --time-style=+ /proc/self/fd", socket);
    BOOST_REQUIRE(::write(socket.get(), "hello\n", 6) == 6);
    BOOST_REQUIRE(::shutdown(socket.get(), SHUT_WR) == 0);
    const auto text = read_all(socket);
    BOOST_TEST(text.starts_with("hello\n"));
    BOOST_TEST(text.find(" 0 -> socket:") != text.npos, text);
    BOOST_TEST(text.find(" 1 -> socket:") != text.npos, text);
    // 2 is the standard error, 3 the directory that ls reads.
    BOOST_TEST(text.find(" 4 -> ") == text.npos, text);
    BOOST_TEST(text.find(" 200 -> ") == text.npos, text);
    wait_for_end(process);
    BOOST_TEST(process.how() == "exit code 0");
}

BOOST_AUTO_TEST_CASE(it_has_no_signals_blocked_or_ignored) {
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    sigset_t before;
    ::pthread_sigmask(SIG_BLOCK, &blocked, &before);
    const auto ignored = ::signal(SIGPIPE, SIG_IGN);
    UniqueFd socket;
    Process process("grep -E 'Sig(Blk|Ign)' /proc/self/status", socket);
    ::signal(SIGPIPE, ignored);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    const auto text = read_all(socket);
    BOOST_TEST(text.starts_with("SigBlk:\t0000000000000000\nSigIgn:\t"), text);
    // Signals 32 and 33 are the C library's.
    BOOST_TEST((std::stoull(text.substr(text.rfind('\t') + 1), nullptr, 16) & 0x7fff'ffff) == 0U, text);
}

BOOST_AUTO_TEST_CASE(how_it_has_ended_is_told) {
    UniqueFd socket;
    Process fails("exit 3", socket);
    wait_for_end(fails);
    BOOST_TEST(fails.how() == "exit code 3");
    UniqueFd other;
    Process killed("kill -9 $$", other);
    wait_for_end(killed);
    BOOST_TEST(killed.how() == "SIGKILL");
    UniqueFd none;
    Process missing("/nonexistent/device", none);
    wait_for_end(missing);
    BOOST_TEST(missing.how() == "exit code 127");
}

BOOST_AUTO_TEST_CASE(what_it_has_started_ends_with_it) {
    UniqueFd socket;
    Process process("sleep 1000 & echo $!; exit 0", socket);
    const pid_t child = std::stoi(read_all(socket, "\n"));
    wait_for_end(process);
    // Nobody here is its parent: it goes as soon as the kernel has got to it.
    for (int i = 0; i < patience && ::kill(child, 0) == 0; ++i) ::usleep(1000);
    const bool gone = ::kill(child, 0) != 0 && errno == ESRCH;
    BOOST_TEST(gone);
}

BOOST_AUTO_TEST_CASE(one_that_ignores_everything_ends_with_the_object_and_leaves_no_zombie) {
    pid_t pid = -1;
    {
        UniqueFd socket;
        const Process process("trap '' TERM HUP INT; echo ready; while :; do sleep 1000; done", socket);
        pid = process.pid();
        BOOST_TEST(read_all(socket, "ready") == "ready\n");
    }
    const bool gone = ::kill(pid, 0) != 0 && errno == ESRCH;
    BOOST_TEST(gone);
    BOOST_TEST(::waitpid(pid, nullptr, WNOHANG) == -1);
}
