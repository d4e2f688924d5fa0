/// The lock that lets only one vCPU of a machine run guest instructions at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace asyncvm::unicorn {

/// Any thread. Waiters get it in the order in which they began to wait.
class VcpuLock {
public:
    /// Waits for the lock. Returns false, without the lock, as soon as `cancelled` is true and wake() has been called.
    /// `cancelled` also names the one that waits: one wait for each at a time.
    [[nodiscard]] bool lock(const std::atomic<bool>& cancelled);

    /// Returns false where somebody has the lock, or waits for it.
    [[nodiscard]] bool try_lock();

    void unlock() noexcept;

    /// Whether somebody waits, and how many do.
    [[nodiscard]] bool wanted() const noexcept { return waiting() != 0; }
    [[nodiscard]] unsigned waiting() const noexcept { return waiting_count_.load(std::memory_order_relaxed); }

    /// Makes those that wait look at their `cancelled`.
    void wake() noexcept;

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<const std::atomic<bool>*> waiting_;
    std::atomic<unsigned> waiting_count_ = 0;
    bool held_ = false;
};

}  // namespace asyncvm::unicorn
