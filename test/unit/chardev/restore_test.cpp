// Children of this process end in every way there is. It has no thread of its own but the main one: what exit() runs in a
// child after a fork would otherwise wait for threads that are not there.
#define BOOST_TEST_MODULE chardev_restore
#include "descriptors.hpp"

#include <asyncvm/open_chardev.hpp>
#include <chardev/terminal.hpp>

#include <boost/test/unit_test.hpp>

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdlib>

using namespace asyncvm;
using namespace asyncvm::test;
using namespace std::chrono_literals;

namespace {

/// Runs `body` in a child process and returns its wait status.
template <typename Body>
int in_child(Body body) {
    const auto child = ::fork();
    if (child == 0) {
        body();
        ::_exit(99);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return status;
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_terminal_is_restored_however_the_process_ends) {
    const auto ends_with = [](int signal, auto last_words) {
        Terminal terminal;
        const int status = in_child([&] {
            const rlimit no_core{0, 0};
            ::setrlimit(RLIMIT_CORE, &no_core);
            for (const int s : {SIGABRT, SIGTERM, SIGSEGV, SIGINT, SIGHUP}) ::signal(s, SIG_DFL);
            // Never destroyed: only the way out itself can restore.
            auto* const raw = new RawTerminal(terminal.program());
            if (raw == nullptr || !terminal.raw()) ::_exit(98);
            last_words();
        });
        BOOST_TEST(terminal.cooked());
        if (signal == 0) {
            BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 7));
        } else {
            BOOST_TEST((WIFSIGNALED(status) && WTERMSIG(status) == signal));
        }
    };
    ends_with(0, [] { std::exit(7); });
    ends_with(SIGTERM, [] { ::raise(SIGTERM); });
    ends_with(SIGINT, [] { ::raise(SIGINT); });
    ends_with(SIGHUP, [] { ::raise(SIGHUP); });
    ends_with(SIGABRT, [] { std::abort(); });
    ends_with(SIGSEGV, [] {
        volatile int* volatile nowhere = nullptr;
        *nowhere = 1;
    });
}

BOOST_AUTO_TEST_CASE(whoever_handled_a_fatal_signal_still_gets_it) {
    Terminal terminal;
    const int status = in_child([&] {
        ::signal(SIGSEGV, [](int) { ::_exit(42); });
        const RawTerminal raw(terminal.program());
        ::raise(SIGSEGV);
    });
    BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 42));
    BOOST_TEST(terminal.cooked());
}

BOOST_AUTO_TEST_CASE(a_background_process_leaves_the_terminal_alone) {
    Terminal terminal;
    const int status = in_child([&] {
        // A connection of its own with this terminal, whose foreground is another process group.
        ::setsid();
        if (::ioctl(terminal.program(), TIOCSCTTY, 0) != 0) ::_exit(1);
        const auto other = ::fork();
        if (other == 0) {
            ::setpgid(0, 0);
            ::pause();
        }
        ::setpgid(other, other);
        ::signal(SIGTTOU, SIG_IGN);
        if (::tcsetpgrp(terminal.program(), other) != 0) ::_exit(2);
        ::signal(SIGTTOU, SIG_DFL);
        ::dup2(terminal.program(), 0);
        ::dup2(terminal.program(), 1);
        asio::io_context loop(1);
        const auto serial = open_chardev(parse_chardev_spec("stdio"), {.loop = loop});
        loop.run_for(50ms);
        const bool untouched = terminal.cooked();
        // And it comes to the foreground.
        ::signal(SIGTTOU, SIG_IGN);
        ::tcsetpgrp(terminal.program(), ::getpgrp());
        const auto until = std::chrono::steady_clock::now() + 20s;
        while (!terminal.raw() && std::chrono::steady_clock::now() < until) loop.run_for(10ms);
        const bool raw = terminal.raw();
        serial->close();
        ::kill(other, SIGKILL);
        ::_exit(untouched && raw && terminal.cooked() ? 0 : 3);
    });
    BOOST_TEST((WIFEXITED(status) && WEXITSTATUS(status) == 0));
}
