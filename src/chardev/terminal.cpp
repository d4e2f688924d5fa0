#include <chardev/terminal.hpp>

#include <termios.h>
#include <unistd.h>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

namespace asyncvm {
namespace {

struct Watch {
    int signal;
    bool fatal;  ///< a fault: restored also where somebody else handles it, who then gets it
    struct sigaction before {};
    bool installed = false;
};

// What a signal handler needs: plain data, complete before `active` says so.
std::atomic<bool> active = false;
int terminal = -1;
termios saved{};
std::array<Watch, 11> watches{{{SIGSEGV, true},
                               {SIGBUS, true},
                               {SIGILL, true},
                               {SIGFPE, true},
                               {SIGABRT, true},
                               {SIGTRAP, true},
                               {SIGSYS, true},
                               {SIGTERM, false},
                               {SIGINT, false},
                               {SIGHUP, false},
                               {SIGQUIT, false}}};

/// Async-signal-safe.
void restore() noexcept {
    if (!active.exchange(false)) return;
    // In the background the terminal is another's, and tcsetattr would stop this process.
    if (RawTerminal::foreground(terminal)) (void)tcsetattr(terminal, TCSADRAIN, &saved);
}

void on_signal(int signal, siginfo_t* info, void*) {
    const int error = errno;
    restore();
    for (auto& watch : watches) {
        if (watch.signal == signal) (void)sigaction(signal, &watch.before, nullptr);
    }
    // A fault happens again, with its details, when this returns; a signal that was sent is sent again.
    if (info->si_code <= 0) (void)raise(signal);
    errno = error;
}

void watch_signals() {
    for (auto& watch : watches) {
        if (sigaction(watch.signal, nullptr, &watch.before) != 0) continue;
        const bool by_default = (watch.before.sa_flags & SA_SIGINFO) == 0 && watch.before.sa_handler == SIG_DFL;
        if (!by_default && !watch.fatal) continue;
        struct sigaction ours {};
        ours.sa_sigaction = on_signal;
        ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&ours.sa_mask);
        watch.installed = sigaction(watch.signal, &ours, nullptr) == 0;
    }
}

void unwatch_signals() noexcept {
    for (auto& watch : watches) {
        if (!watch.installed) continue;
        watch.installed = false;
        struct sigaction now {};
        if (sigaction(watch.signal, nullptr, &now) != 0) continue;
        // Whoever took the signal over since then keeps it.
        if ((now.sa_flags & SA_SIGINFO) != 0 && now.sa_sigaction == on_signal)
            (void)sigaction(watch.signal, &watch.before, nullptr);
    }
}

}  // namespace

RawTerminal::RawTerminal(int fd) {
    static const int registered = std::atexit([] { restore(); });
    (void)registered;
    if (tcgetattr(fd, &saved) != 0) return;
    terminal = fd;
    auto raw = saved;
    cfmakeraw(&raw);
    raw.c_oflag = saved.c_oflag;
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    watch_signals();
    active = true;
    (void)tcsetattr(fd, TCSADRAIN, &raw);
}

RawTerminal::~RawTerminal() {
    restore();
    unwatch_signals();
}

bool RawTerminal::foreground(int fd) noexcept {
    const auto group = tcgetpgrp(fd);
    // A terminal that does not control this connection sends it no signals.
    return group < 0 ? errno == ENOTTY : group == getpgrp();
}

}  // namespace asyncvm
