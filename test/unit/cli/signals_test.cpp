// How the program's signals end it. Each case runs in a child process.
#define BOOST_TEST_MODULE cli_signals
#include "cli/signals.hpp"
#include "os/put_back.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <string>
#include <thread>

using namespace asyncvm;
using namespace std::chrono_literals;

namespace {

struct Note {
    int fd;
};

void write_note(const Note& note) noexcept { static_cast<void>(!::write(note.fd, "back", 4)); }

/// A child that runs `body`, which gets a descriptor to write to.
class Process {
public:
    template <typename Body>
    explicit Process(Body body) {
        if (::pipe(pipe_) != 0) throw std::runtime_error("pipe");
        pid_ = ::fork();
        if (pid_ == 0) {
            body(pipe_[1]);
            ::_exit(99);
        }
        ::close(pipe_[1]);
    }
    ~Process() {
        ::kill(pid_, SIGKILL);
        ::close(pipe_[0]);
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    void send(int number) const { ::kill(pid_, number); }
    [[nodiscard]] char next() const {
        char c = 0;
        return ::read(pipe_[0], &c, 1) == 1 ? c : '\0';
    }
    [[nodiscard]] bool ended() { return ::waitpid(pid_, &status_, WNOHANG) == pid_; }
    [[nodiscard]] int wait() {
        if (::waitpid(pid_, &status_, 0) != pid_) return -1;
        return code();
    }
    [[nodiscard]] int code() const { return WIFEXITED(status_) ? WEXITSTATUS(status_) : -1; }

private:
    int pipe_[2]{};
    pid_t pid_ = -1;
    int status_ = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_second_signal_ends_at_once_although_the_loop_stands_but_not_within_half_a_second) {
    Process child([](int fd) {
        const PutBack note(&write_note, Note{fd});
        asio::io_context loop(1);
        cli::Signals signals(loop, [fd](int) {
            // As if the loop were in a system call that never ends.
            static_cast<void>(!::write(fd, "1", 1));
            for (;;) ::pause();
        });
        signals.loop_runs();
        static_cast<void>(!::write(fd, "0", 1));
        loop.run();
    });
    BOOST_TEST(child.next() == '0');
    const auto start = std::chrono::steady_clock::now();
    child.send(SIGTERM);
    BOOST_TEST(child.next() == '1');
    while (!child.ended()) {
        child.send(SIGINT);
        std::this_thread::yield();
        BOOST_TEST_REQUIRE((std::chrono::steady_clock::now() - start < 30s));
    }
    BOOST_TEST(child.code() == 128 + SIGINT);
    BOOST_TEST((std::chrono::steady_clock::now() - start >= cli::impatience));
    BOOST_TEST(child.next() == 'b');
}

BOOST_AUTO_TEST_CASE(before_the_loop_runs_the_first_signal_ends_at_once) {
    Process child([](int fd) {
        const PutBack note(&write_note, Note{fd});
        asio::io_context loop(1);
        const cli::Signals signals(loop, [](int) {});
        static_cast<void>(!::write(fd, "0", 1));
        // As if a name server did not answer.
        for (;;) ::pause();
    });
    BOOST_TEST(child.next() == '0');
    child.send(SIGTERM);
    BOOST_TEST(child.wait() == 128 + SIGTERM);
    BOOST_TEST(child.next() == 'b');
}

BOOST_AUTO_TEST_CASE(a_request_for_statistics_that_comes_early_is_kept) {
    Process child([](int) {
        cli::tame_signals();
        ::raise(SIGUSR1);
        asio::io_context loop(1);
        cli::Signals signals(loop, [](int number) { ::_exit(number); });
        signals.loop_runs();
        loop.run();
    });
    BOOST_TEST(child.wait() == SIGUSR1);
}

BOOST_AUTO_TEST_CASE(what_was_ignored_at_the_start_stays_ignored_but_for_what_stops_by_hand) {
    Process child([](int fd) {
        for (const int number : {SIGHUP, SIGALRM, SIGTERM}) std::signal(number, SIG_IGN);
        asio::io_context loop(1);
        cli::Signals signals(loop, [](int number) { ::_exit(number); });
        signals.loop_runs();
        ::raise(SIGHUP);
        ::raise(SIGALRM);
        static_cast<void>(!::write(fd, "0", 1));
        loop.run();
    });
    BOOST_TEST(child.next() == '0');
    child.send(SIGTERM);
    BOOST_TEST(child.wait() == SIGTERM);
}
