/// The signal that takes a vCPU's thread out of KVM_RUN, and which thread gets it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <mutex>

namespace asyncvm::kvm {

/// Makes `signal` (0: SIGRTMIN) one that interrupts system calls and does nothing else: installs an empty handler where the
/// default action, or none, stands. Returns the signal. Any thread. Throws Error(usage) if the process has a handler of its
/// own for it, or if it can't be handled.
[[nodiscard]] int claim_kick_signal(int signal);

/// The thread that a vCPU runs on, as far as kicks are concerned. A thread registers itself with its first run() and, when
/// it ends, leaves by itself: so no kick goes to another thread that has got its number. Shared by the vCPU and that thread.
class KickTarget {
public:
    explicit KickTarget(int signal) noexcept : signal_(signal) {}
    KickTarget(const KickTarget&) = delete;
    KickTarget& operator=(const KickTarget&) = delete;

    /// Before each KVM_RUN, on its thread: from now on kicks come here. `self` is the object itself.
    void enter(const std::shared_ptr<KickTarget>& self) {
        if (thread_.load(std::memory_order_relaxed) != this_thread_) [[unlikely]]
            move_here(self);
    }

    /// Any thread. Signals the thread that has run the vCPU last, if it has not ended.
    void kick() noexcept;

    [[nodiscard]] int signal() const noexcept { return signal_; }

    /// The thread that a kick would go to; -1: there is none.
    [[nodiscard]] pid_t thread() const noexcept { return thread_.load(); }

private:
    class Registrations;

    void move_here(const std::shared_ptr<KickTarget>& self);
    void leave(pid_t thread) noexcept;

    static constexpr pid_t nobody = -1;
    static thread_local pid_t this_thread_;  ///< 0 until the thread has registered

    const int signal_;
    std::mutex mutex_;  ///< held while a thread is signalled, and by a thread that leaves
    std::atomic<pid_t> thread_ = nobody;
};

}  // namespace asyncvm::kvm
