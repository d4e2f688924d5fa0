#include <asyncvm/event.hpp>

#include <asio/execution_context.hpp>

#include <unordered_set>
#include <utility>

namespace asyncvm {

/// The waits that are under way on one execution context. Shared with the OneShots, so that one which completes while its
/// context is being destroyed finds it still there.
struct WaitRegistry {
    std::mutex mutex;
    std::unordered_set<OneShot*> waiting;
};

/// A suspended coroutine is owned by its handler, the handler by the OneShot, and the OneShot by the coroutine. This service
/// breaks the circle when the context is destroyed, as Asio's own operations do.
class WaitService : public asio::execution_context::service {
public:
    using key_type = WaitService;
    static asio::execution_context::id id;

    explicit WaitService(asio::execution_context& context) : asio::execution_context::service(context) {}

    [[nodiscard]] const std::shared_ptr<WaitRegistry>& registry() const noexcept { return registry_; }

private:
    void shutdown() noexcept override {
        std::vector<std::shared_ptr<OneShot>> abandoned;
        {
            const std::lock_guard lock(registry_->mutex);
            for (OneShot* const shot : registry_->waiting) {
                if (auto alive = shot->weak_from_this().lock()) abandoned.push_back(std::move(alive));
            }
            registry_->waiting.clear();
        }
        for (const auto& shot : abandoned) {
            const std::unique_lock lock(shot->mutex_);
            shot->done_ = true;
        }
        for (const auto& shot : abandoned) {
            // Destroys the coroutine, whose locals may complete or leave other waits.
            const auto handler = shot->take_handler();
        }
    }

    std::shared_ptr<WaitRegistry> registry_ = std::make_shared<WaitRegistry>();
};

asio::execution_context::id WaitService::id;

std::optional<OneShot::Handler> OneShot::take_handler() noexcept {
    std::optional<Handler> taken;
    std::shared_ptr<WaitRegistry> registry;
    {
        const std::lock_guard lock(mutex_);
        if (!handler_) return taken;
        taken.emplace(std::move(*handler_));
        handler_.reset();
        registry = std::move(registry_);
    }
    const std::lock_guard lock(registry->mutex);
    registry->waiting.erase(this);
    return taken;
}

void OneShot::start(Handler handler, bool cancellable) {
    const auto executor = asio::get_associated_executor(handler);
    std::unique_lock lock(mutex_);
    if (done_) {
        const auto error = error_;
        lock.unlock();
        asio::post(executor, [handler = std::move(handler), error]() mutable { std::move(handler)(error); });
        return;
    }
    if (auto slot = asio::get_associated_cancellation_slot(handler); cancellable && slot.is_connected()) {
        slot.assign([weak = weak_from_this()](asio::cancellation_type) {
            if (const auto self = weak.lock()) self->complete(asio::error::operation_aborted);
        });
    }
    registry_ = asio::use_service<WaitService>(asio::query(executor, asio::execution::context)).registry();
    handler_.emplace(std::move(handler));
    const std::lock_guard registry_lock(registry_->mutex);
    registry_->waiting.insert(this);
}

awaitable<void> OneShot::wait() {
    return asio::async_initiate<const asio::use_awaitable_t<>&, void(std::error_code)>(
        [self = shared_from_this()](Handler handler) { self->start(std::move(handler), true); }, use_awaitable);
}

awaitable<void> OneShot::wait_to_end() {
    return asio::async_initiate<const asio::use_awaitable_t<>&, void(std::error_code)>(
        [self = shared_from_this()](Handler handler) { self->start(std::move(handler), false); }, use_awaitable);
}

bool OneShot::complete(std::error_code error) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (done_) return false;
        done_ = true;
        error_ = error;
    }
    if (auto handler = take_handler()) {
        const auto executor = asio::get_associated_executor(*handler);
        asio::post(executor, [handler = std::move(*handler), error]() mutable { std::move(handler)(error); });
    }
    return true;
}

void Event::notify() noexcept {
    std::vector<std::shared_ptr<OneShot>> woken;
    {
        const std::lock_guard lock(state_->mutex);
        state_->generation.fetch_add(1, std::memory_order_release);
        woken.swap(state_->waiters);
    }
    for (const auto& waiter : woken) waiter->complete();
}

awaitable<bool> Event::wait(std::uint64_t seen, std::chrono::steady_clock::duration limit) {
    // The list must not grow with waits that have ended, also when they were cancelled or their coroutine was destroyed.
    struct Place {
        explicit Place(std::shared_ptr<State> s) : state(std::move(s)), shot(std::make_shared<OneShot>()) {}
        Place(const Place&) = delete;
        Place& operator=(const Place&) = delete;
        ~Place() {
            const std::lock_guard lock(state->mutex);
            std::erase(state->waiters, shot);
        }
        /// False if there is nothing to wait for.
        [[nodiscard]] bool enter(std::uint64_t generation) {
            const std::lock_guard lock(state->mutex);
            if (state->generation.load(std::memory_order_relaxed) != generation) return false;
            state->waiters.push_back(shot);
            return true;
        }
        const std::shared_ptr<State> state;
        const std::shared_ptr<OneShot> shot;
    };
    Place place(state_);
    if (!place.enter(seen)) co_return true;
    if (limit == no_limit) {
        co_await place.shot->wait();
    } else {
        asio::steady_timer timer(co_await asio::this_coro::executor, limit);
        timer.async_wait([shot = place.shot](std::error_code error) {
            if (!error) shot->complete();
        });
        co_await place.shot->wait();
    }
    co_return place.state->generation.load(std::memory_order_acquire) != seen;
}

}  // namespace asyncvm
