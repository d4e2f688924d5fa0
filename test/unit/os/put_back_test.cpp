// Children of this process end in every way there is.
#define BOOST_TEST_MODULE put_back
#include "os/put_back.hpp"

#include <boost/test/unit_test.hpp>

#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <optional>
#include <string>

using namespace asyncvm;

namespace {

struct Note {
    int fd;
    char text;
};

void write_note(const Note& note) noexcept { static_cast<void>(!::write(note.fd, &note.text, 1)); }

struct End {
    int status = 0;
    std::string notes;
};

/// Runs `body` in a child process: what its PutBacks have written, and how it ended.
template <typename Body>
End in_child(Body body) {
    int ends[2];
    if (::pipe(ends) != 0) std::abort();
    const auto child = ::fork();
    if (child == 0) {
        const rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        for (int number = 1; number < 32; ++number) std::signal(number, SIG_DFL);
        body(ends[1]);
        ::_exit(99);
    }
    ::close(ends[1]);
    End end;
    for (char c = 0; ::read(ends[0], &c, 1) == 1;) end.notes += c;
    ::close(ends[0]);
    ::waitpid(child, &end.status, 0);
    return end;
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_signal_that_ends_a_process_puts_back_and_still_ends_it) {
    for (const int number :
         {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,    SIGFPE, SIGUSR1, SIGSEGV, SIGUSR2,
          SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGPROF, SIGVTALRM, SIGPWR, SIGSYS,  SIGIO,   SIGSTKFLT}) {
        const auto end = in_child([number](int fd) {
            const PutBack one(&write_note, Note{fd, '1'});
            const PutBack two(&write_note, Note{fd, '2'});
            ::raise(number);
        });
        BOOST_TEST(end.notes == "12", number);
        BOOST_TEST((WIFSIGNALED(end.status) && WTERMSIG(end.status) == number), number);
    }
}

BOOST_AUTO_TEST_CASE(a_signal_of_the_kernel_ends_the_process_too) {
    const auto end = in_child([](int fd) {
        const PutBack one(&write_note, Note{fd, '1'});
        const itimerval soon{{0, 0}, {0, 1}};
        ::setitimer(ITIMER_REAL, &soon, nullptr);
        for (;;) ::pause();
    });
    BOOST_TEST(end.notes == "1");
    BOOST_TEST((WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGALRM));
}

BOOST_AUTO_TEST_CASE(it_happens_once_on_each_way) {
    const auto end = in_child([](int fd) {
        PutBack one(&write_note, Note{fd, '1'});
        one.put_back();
        one.put_back();
        std::optional<PutBack> two(std::in_place, &write_note, Note{fd, '2'});
        two.reset();
        // Never destroyed, and no leak as long as this frame has it.
        const auto* const three = new PutBack(&write_note, Note{fd, '3'});
        if (three == nullptr) ::_exit(98);
        put_back_everything();
        std::exit(7);
    });
    BOOST_TEST(end.notes == "123");
    BOOST_TEST((WIFEXITED(end.status) && WEXITSTATUS(end.status) == 7));
}

BOOST_AUTO_TEST_CASE(more_than_signals_know_are_put_back_by_their_destructors) {
    const auto end = in_child([](int fd) {
        std::optional<PutBack> all[40];
        for (auto& one : all) one.emplace(&write_note, Note{fd, 'x'});
        for (auto& one : all) one.reset();
        for (auto& one : all) one.emplace(&write_note, Note{fd, 'y'});
        ::raise(SIGTERM);
    });
    BOOST_TEST(end.notes == std::string(40, 'x') + std::string(32, 'y'));
}

BOOST_AUTO_TEST_CASE(signals_are_as_they_were_when_nothing_is_left_to_put_back) {
    const auto end = in_child([](int fd) {
        std::optional<PutBack> one(std::in_place, &write_note, Note{fd, '1'});
        one.reset();
        struct sigaction now {};
        for (const int number : {SIGTERM, SIGSEGV, SIGPWR}) {
            if (::sigaction(number, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) ::_exit(1);
        }
        ::_exit(0);
    });
    BOOST_TEST((WIFEXITED(end.status) && WEXITSTATUS(end.status) == 0));
}
