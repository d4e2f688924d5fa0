#include "async/async_mutex.hpp"

#include <algorithm>
#include <utility>

namespace asyncvm {

/// A waiter. The function that takes it out of the queue completes it.
struct AsyncMutex::Waiter {
    unsigned woken_in_vain = 0;
    bool handed = false;  ///< the lock came with the wake-up
    const std::shared_ptr<OneShot> shot = std::make_shared<OneShot>();
};

awaitable<void> AsyncMutex::lock() {
    for (unsigned woken_in_vain = 0;; ++woken_in_vain) {
        const auto mine = enter_queue(woken_in_vain);
        if (!mine) co_return;
        std::exception_ptr cancelled;
        try {
            co_await mine->shot->wait();
        } catch (...) {
            cancelled = std::current_exception();
        }
        if (cancelled) {
            leave_queue(mine);
            std::rethrow_exception(cancelled);
        }
        if (mine->handed) co_return;
    }
}

/// Takes the mutex and returns null, or enters the queue: at its end, or, after having been woken in vain, at its front.
std::shared_ptr<AsyncMutex::Waiter> AsyncMutex::enter_queue(unsigned woken_in_vain) {
    const std::lock_guard lock(mutex_);
    // From here on unlock() comes through the mutex, so that no unlock can come between this look and the entry in the
    // queue.
    if (state_.exchange(State::taken_and_awaited, std::memory_order_acq_rel) == State::free) return nullptr;
    auto waiter = std::make_shared<Waiter>();
    waiter->woken_in_vain = woken_in_vain;
    waiting_.insert(woken_in_vain == 0 ? waiting_.end() : waiting_.begin(), waiter);
    return waiter;
}

/// A waiter was cancelled: if it has the mutex already, the next one gets it.
void AsyncMutex::leave_queue(const std::shared_ptr<Waiter>& waiter) noexcept {
    const std::lock_guard lock(mutex_);
    if (std::erase(waiting_, waiter) > 0) return;
    if (waiter->handed || state_.exchange(State::taken_and_awaited, std::memory_order_acq_rel) == State::free) wake_next();
}

void AsyncMutex::unlock_for_next() noexcept {
    const std::lock_guard lock(mutex_);
    wake_next();
}

/// With mutex_ held, and the AsyncMutex locked. The mutex is free while the one who was woken is on its way, so that vCPUs
/// which are running need not wait for one that sleeps: a device that answers at once would else be idle most of the time.
/// Who was woken enters the queue again or holds the mutex, and either way those behind it are not forgotten.
void AsyncMutex::wake_next() noexcept {
    constexpr unsigned patience = 3;
    while (!waiting_.empty()) {
        const auto next = std::move(waiting_.front());
        waiting_.pop_front();
        next->handed = next->woken_in_vain >= patience;
        if (!next->handed) state_.store(State::free, std::memory_order_release);
        if (next->shot->complete()) return;
        // Cancelled: it gets nothing. Others may have locked the mutex meanwhile; then it is theirs to wake the next.
        const bool ours = std::exchange(next->handed, false) ||
                          state_.exchange(State::taken_and_awaited, std::memory_order_acq_rel) == State::free;
        if (!ours) return;
    }
    state_.store(State::free, std::memory_order_release);
}

}  // namespace asyncvm
