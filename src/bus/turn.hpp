/// Whose turn it is at a device: a lock that suspends instead of blocking.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>

namespace asyncvm {

/// First come, first served, but for coroutines that are running when the turn becomes free: they may come before one that
/// has to be woken, some few times. Any executor. Without contention taking is one atomic operation, and so is giving back.
class Turn {
public:
    /// Suspends until the turn is this coroutine's. Throws std::system_error(operation_aborted) if it is cancelled; the turn
    /// is not taken then.
    [[nodiscard]] awaitable<void> take();

    [[nodiscard]] bool try_take() noexcept {
        State expected = State::free;
        return state_.compare_exchange_strong(expected, State::taken, std::memory_order_acquire);
    }

    /// As try_take(), but looks for a moment longer: a device that answers at once gives its turn back within some hundred
    /// nanoseconds, and to suspend for that, which takes two thread switches, is a hundred times dearer. Gives up as soon as
    /// somebody waits.
    [[nodiscard]] bool try_take_soon() noexcept {
        constexpr int looks = 32;
        for (int look = 0; look < looks; ++look) {
            const State state = state_.load(std::memory_order_relaxed);
            if (state == State::taken_and_awaited) return false;
            if (state == State::free && try_take()) return true;
            __builtin_ia32_pause();
        }
        return false;
    }

    /// Wakes the one who has waited longest, if somebody waits.
    void give() noexcept {
        State expected = State::taken;
        if (!state_.compare_exchange_strong(expected, State::free, std::memory_order_release)) give_to_next();
    }

private:
    enum class State : std::uint8_t { free, taken, taken_and_awaited };
    struct Waiter;
    [[nodiscard]] std::shared_ptr<Waiter> enter_queue(unsigned woken_in_vain);
    void leave_queue(const std::shared_ptr<Waiter>& waiter) noexcept;
    void give_to_next() noexcept;
    void wake_next() noexcept;

    std::atomic<State> state_ = State::free;
    std::mutex mutex_;
    std::deque<std::shared_ptr<Waiter>> waiting_;
};

/// Gives a turn that was taken back.
class HeldTurn {
public:
    explicit HeldTurn(Turn& turn) noexcept : turn_(turn) {}
    HeldTurn(const HeldTurn&) = delete;
    HeldTurn& operator=(const HeldTurn&) = delete;
    ~HeldTurn() { turn_.give(); }

private:
    Turn& turn_;
};

}  // namespace asyncvm
