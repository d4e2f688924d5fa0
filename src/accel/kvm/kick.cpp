#include "accel/kvm/kick.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <vector>

#include "text/errno_text.hpp"

namespace asyncvm::kvm {

namespace {

/// That it ran is what ends the system call.
void do_nothing(int) {}

}  // namespace

int claim_kick_signal(int signal) {
    if (signal == 0) signal = SIGRTMIN;
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    struct sigaction present {};
    if (sigaction(signal, nullptr, &present) != 0) {
        throw Error(ErrorKind::usage, fmt::format("signal {} can't kick vCPUs: {} (take one from SIGRTMIN to SIGRTMAX)",
                                                  signal, reason(errno)));
    }
    const bool extended = (present.sa_flags & SA_SIGINFO) != 0;
    if (!extended && present.sa_handler == do_nothing) return signal;
    if (extended || (present.sa_handler != SIG_DFL && present.sa_handler != SIG_IGN)) {
        throw Error(ErrorKind::usage,
                    fmt::format("signal {} can't kick vCPUs: this process handles it already (name another one with "
                                "KvmOptions::kick_signal)",
                                signal));
    }
    struct sigaction action {};
    action.sa_handler = do_nothing;
    // KVM_RUN ends nevertheless; a system call that a late kick interrupts goes on.
    action.sa_flags = SA_RESTART;
    if (sigaction(signal, &action, nullptr) != 0) {
        throw Error(ErrorKind::usage, fmt::format("signal {} can't kick vCPUs: {} (take one from SIGRTMIN to SIGRTMAX)",
                                                  signal, reason(errno)));
    }
    return signal;
}

thread_local pid_t KickTarget::this_thread_ = 0;

/// What a thread has registered with, until it ends.
class KickTarget::Registrations {
public:
    Registrations() = default;
    Registrations(const Registrations&) = delete;
    Registrations& operator=(const Registrations&) = delete;
    ~Registrations() {
        for (const auto& known : targets_) {
            if (const auto target = known.lock()) target->leave(thread_);
        }
    }

    [[nodiscard]] pid_t thread() const noexcept { return thread_; }

    void add(const std::shared_ptr<KickTarget>& target) {
        // A vCPU may go from one thread to another and back.
        std::erase_if(targets_, [&](const auto& known) {
            return known.expired() || !(known.owner_before(target) || target.owner_before(known));
        });
        targets_.push_back(target);
    }

private:
    const pid_t thread_ = gettid();
    std::vector<std::weak_ptr<KickTarget>> targets_;
};

void KickTarget::move_here(const std::shared_ptr<KickTarget>& self) {
    static thread_local Registrations registrations;
    registrations.add(self);
    this_thread_ = registrations.thread();
    sigset_t open;
    sigemptyset(&open);
    sigaddset(&open, signal_);
    pthread_sigmask(SIG_UNBLOCK, &open, nullptr);
    const std::lock_guard lock(mutex_);
    thread_.store(this_thread_);
}

void KickTarget::leave(pid_t thread) noexcept {
    const std::lock_guard lock(mutex_);
    // It may run elsewhere by now.
    if (thread_.load() == thread) thread_.store(nobody);
}

void KickTarget::kick() noexcept {
    const std::lock_guard lock(mutex_);
    if (const pid_t thread = thread_.load(); thread != nobody) tgkill(getpid(), thread, signal_);
}

}  // namespace asyncvm::kvm
