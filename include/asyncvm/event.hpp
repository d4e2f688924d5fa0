/// How a coroutine on one thread waits for something that happens on another: the only two primitives of this kind here.
#pragma once

#include <asyncvm/asio.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <vector>

namespace asyncvm {

struct WaitRegistry;

/// Completes once, from any thread, and resumes the one coroutine that waits, on that coroutine's own executor.
/// Completing first and waiting later works too. Honours the waiting coroutine's cancellation (operation_aborted).
class OneShot : public std::enable_shared_from_this<OneShot> {
public:
    /// At most one wait for each object. Throws std::system_error(operation_aborted) if it is cancelled.
    [[nodiscard]] awaitable<void> wait();

    /// As wait(), but a cancellation does not end it: the coroutine hears of it at its next wait. For work that uses memory
    /// of the coroutine and can't be taken back.
    [[nodiscard]] awaitable<void> wait_to_end();

    /// Any thread; the first call counts. Returns whether this was the first.
    bool complete(std::error_code error = {}) noexcept;

private:
    using Handler = asio::async_result<asio::use_awaitable_t<>, void(std::error_code)>::handler_type;
    void start(Handler handler, bool cancellable);

    friend class WaitService;
    [[nodiscard]] std::optional<Handler> take_handler() noexcept;

    std::mutex mutex_;
    bool done_ = false;
    std::error_code error_;
    std::optional<Handler> handler_;
    std::shared_ptr<WaitRegistry> registry_;
};

/// A broadcast: "something changed, look again". To wait without missing a change: read generation(), look at the state,
/// and if it is not what you want, wait(the generation you read).
///
///     for (;;) {
///         const auto seen = event.generation();
///         if (condition()) break;
///         co_await event.wait(seen);
///     }
class Event {
public:
    /// Any thread. Rises by one with each notify().
    [[nodiscard]] std::uint64_t generation() const noexcept { return state_->generation.load(std::memory_order_acquire); }

    /// Any thread. Wakes every waiter. Cheap when nobody waits.
    void notify() noexcept;

    /// Any thread, any number of waiters. Returns true as soon as generation() differs from `seen`, false when `limit` has
    /// passed first. Throws std::system_error(operation_aborted) if the waiting coroutine is cancelled.
    [[nodiscard]] awaitable<bool> wait(std::uint64_t seen, std::chrono::steady_clock::duration limit = no_limit);

    static constexpr std::chrono::steady_clock::duration no_limit = std::chrono::steady_clock::duration::max();

private:
    // Shared with the waits, which may outlive the event: a coroutine that is destroyed leaves them last.
    struct State {
        std::atomic<std::uint64_t> generation = 0;
        std::mutex mutex;
        std::vector<std::shared_ptr<OneShot>> waiters;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace asyncvm
