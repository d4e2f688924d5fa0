/// Whose turn it is: of the vCPUs of a machine only one runs guest instructions at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

namespace asyncvm::unicorn {

/// Any thread. Who waits gets it in the order in which the waits began.
class Baton {
public:
    /// Waits for the turn. False, without the turn, as soon as `cancelled` is true and wake() has been called. `cancelled`
    /// also names the one that waits: one wait for each at a time.
    [[nodiscard]] bool take(const std::atomic<bool>& cancelled);

    void give() noexcept;

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
