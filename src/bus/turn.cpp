#include "bus/turn.hpp"

namespace asyncvm {

awaitable<void> Turn::take() {
    if (try_take()) co_return;
    const auto mine = std::make_shared<OneShot>();
    {
        const std::lock_guard lock(mutex_);
        // From here on give() comes through the mutex, so that a turn can't be given between this look and the entry in the
        // queue.
        if (state_.exchange(State::taken_and_awaited, std::memory_order_acq_rel) == State::free) co_return;
        waiting_.push_back(mine);
    }
    // A cancelled wait has completed its OneShot, which tells give_to_next() to pass it over.
    co_await mine->wait();
}

void Turn::give_to_next() noexcept {
    const std::lock_guard lock(mutex_);
    while (!waiting_.empty()) {
        const auto next = std::move(waiting_.front());
        waiting_.pop_front();
        if (next->complete()) return;
    }
    state_.store(State::free, std::memory_order_release);
}

}  // namespace asyncvm
