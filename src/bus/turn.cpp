#include "bus/turn.hpp"

#include <algorithm>
#include <utility>

namespace asyncvm {

/// One who waits. Whoever takes it out of the queue completes it.
struct Turn::Waiter {
    unsigned woken_in_vain = 0;
    bool handed = false;  ///< the turn came with the wake-up
    const std::shared_ptr<OneShot> shot = std::make_shared<OneShot>();
};

awaitable<void> Turn::take() {
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

/// Takes the turn and returns null, or enters the queue: at its end, or, after having been woken in vain, at its front.
std::shared_ptr<Turn::Waiter> Turn::enter_queue(unsigned woken_in_vain) {
    const std::lock_guard lock(mutex_);
    // From here on give() comes through the mutex, so that a turn can't be given between this look and the entry in the
    // queue.
    if (state_.exchange(State::taken_and_awaited, std::memory_order_acq_rel) == State::free) return nullptr;
    auto waiter = std::make_shared<Waiter>();
    waiter->woken_in_vain = woken_in_vain;
    waiting_.insert(woken_in_vain == 0 ? waiting_.end() : waiting_.begin(), waiter);
    return waiter;
}

/// Of one who was cancelled: what it may already have got goes to the next.
void Turn::leave_queue(const std::shared_ptr<Waiter>& waiter) noexcept {
    const std::lock_guard lock(mutex_);
    if (std::erase(waiting_, waiter) > 0) return;
    if (waiter->handed || state_.exchange(State::taken_and_awaited, std::memory_order_acq_rel) == State::free) wake_next();
}

void Turn::give_to_next() noexcept {
    const std::lock_guard lock(mutex_);
    wake_next();
}

/// With the mutex and the turn. The turn is free while the one who was woken is on its way, so that vCPUs which are running
/// need not wait for one that sleeps: a device that answers at once would else be idle most of the time. Who was woken
/// enters the queue again or has the turn, and either way those behind it are not forgotten.
void Turn::wake_next() noexcept {
    constexpr unsigned patience = 3;
    while (!waiting_.empty()) {
        const auto next = std::move(waiting_.front());
        waiting_.pop_front();
        next->handed = next->woken_in_vain >= patience;
        if (!next->handed) state_.store(State::free, std::memory_order_release);
        if (next->shot->complete()) return;
        // Cancelled: it gets nothing. Others may have taken the turn meanwhile; then it is theirs to wake the next.
        const bool ours = std::exchange(next->handed, false) ||
                          state_.exchange(State::taken_and_awaited, std::memory_order_acq_rel) == State::free;
        if (!ours) return;
    }
    state_.store(State::free, std::memory_order_release);
}

}  // namespace asyncvm
