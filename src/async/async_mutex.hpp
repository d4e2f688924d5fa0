/// A mutex that suspends a coroutine instead of blocking its thread.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

namespace asyncvm {

/// First come, first served, but for coroutines that are running when the mutex becomes free: they may come before one that
/// has to be woken, some few times. Any executor. Without contention lock and unlock are one atomic operation each.
class AsyncMutex {
public:
    /// Suspends until this coroutine holds the mutex. Throws std::system_error(operation_aborted) if it is cancelled; the
    /// mutex is not locked then.
    [[nodiscard]] awaitable<void> lock();

    /// Nobody gets the mutex any more: try_lock() fails at once. While it is free.
    void close() noexcept { state_.store(State::taken_and_awaited, std::memory_order_relaxed); }

    [[nodiscard]] bool try_lock() noexcept {
        State expected = State::free;
        return state_.compare_exchange_strong(expected, State::taken, std::memory_order_acquire);
    }

    /// As try_lock(), but looks for a moment longer: a device that answers at once unlocks within some hundred
    /// nanoseconds, and to suspend for that, which takes two thread switches, is a hundred times dearer. Gives up as soon as
    /// somebody waits.
    [[nodiscard]] bool try_lock_spinning() noexcept {
        constexpr int looks = 32;
        for (int look = 0; look < looks; ++look) {
            const State state = state_.load(std::memory_order_relaxed);
            if (state == State::taken_and_awaited) return false;
            if (state == State::free && try_lock()) return true;
            __builtin_ia32_pause();
        }
        return false;
    }

    /// Wakes the waiter that has waited longest, if there is one.
    void unlock() noexcept {
        State expected = State::taken;
        if (!state_.compare_exchange_strong(expected, State::free, std::memory_order_release)) unlock_for_next();
    }

private:
    enum class State : std::uint8_t { free, taken, taken_and_awaited };
    struct Waiter;
    [[nodiscard]] std::shared_ptr<Waiter> enter_queue(unsigned woken_in_vain);
    void leave_queue(const std::shared_ptr<Waiter>& waiter) noexcept;
    void unlock_for_next() noexcept;
    void wake_next() noexcept;

    std::atomic<State> state_ = State::free;
    std::mutex mutex_;
    std::deque<std::shared_ptr<Waiter>> waiting_;
};

/// Unlocks a mutex that is locked already.
class AsyncLock {
public:
    explicit AsyncLock(AsyncMutex& mutex) noexcept : mutex_(mutex) {}
    AsyncLock(const AsyncLock&) = delete;
    AsyncLock& operator=(const AsyncLock&) = delete;
    ~AsyncLock() { mutex_.unlock(); }

private:
    AsyncMutex& mutex_;
};

}  // namespace asyncvm
