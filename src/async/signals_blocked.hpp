/// Threads of a machine leave the program's signals to its main thread.
#pragma once

#include <pthread.h>

#include <csignal>
#include <initializer_list>

namespace asyncvm {

/// Blocks the signals that belong to the program's main thread for the thread that is made while it lives: a thread inherits
/// the mask of its maker. What the accelerator kicks with, real-time signals, and faults of the thread itself stay open.
class SignalsBlocked {
public:
    SignalsBlocked() {
        sigset_t blocked;
        sigfillset(&blocked);
        for (const int open : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT}) sigdelset(&blocked, open);
        for (int open = SIGRTMIN; open <= SIGRTMAX; ++open) sigdelset(&blocked, open);
        pthread_sigmask(SIG_SETMASK, &blocked, &before_);
    }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

}  // namespace asyncvm
