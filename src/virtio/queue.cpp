#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

#include "virtio/device_core.hpp"
#include "virtio/jobs.hpp"
#include "virtio/poll_time.hpp"
#include "virtio/split_queue.hpp"

namespace asyncvm::virtio {

/// A pop() that waits: wake() completes it, and whatever way it goes it leaves the list.
class Queue::Waiter {
public:
    explicit Waiter(Queue& queue) : queue_(queue), shot_(std::make_shared<OneShot>()) { queue_.idle_.push_back(shot_); }
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    ~Waiter() { std::erase(queue_.idle_, shot_); }

    [[nodiscard]] awaitable<void> woken() { return shot_->wait(); }

private:
    Queue& queue_;
    const std::shared_ptr<OneShot> shot_;
};

/// The pop() that polls. The others wait meanwhile, and go on if it goes away.
class Queue::Poller {
public:
    explicit Poller(Queue& queue) : queue_(queue) { queue_.polled_ = true; }
    Poller(const Poller&) = delete;
    Poller& operator=(const Poller&) = delete;
    ~Poller() {
        queue_.polled_ = false;
        if (!ended) queue_.wake();
    }

    bool ended = false;  ///< it goes on with pop()

private:
    Queue& queue_;
};

Queue::Queue(DeviceCore& core, unsigned index, const QueueShape& shape, std::unique_ptr<SplitQueue> ring)
    : core_(core),
      index_(index),
      most_coroutines_(shape.coroutines),
      ring_(std::move(ring)),
      coroutines_(std::make_unique<Jobs>(core.loop())),
      releasing_(std::make_unique<Jobs>(core.loop())),
      poll_time_(std::make_unique<PollTime>(has_several_processors() ? shape.polled_for : std::chrono::microseconds(0))) {}

Queue::~Queue() = default;

std::uint16_t Queue::size() const noexcept { return ring_->size(); }

awaitable<Chain> Queue::pop() {
    for (;;) {
        if (!core_.gate()->is_open()) co_await PauseGate::passed(core_.gate());
        if (stopped_) throw std::system_error(asio::error::operation_aborted);
        auto chain = try_pop();
        if (chain) co_return std::move(*chain);
        const auto empty_since = PollTime::now();
        if (!polled_) co_await poll();
        if (stopped_ || ring_->has_more()) continue;
        const bool asked = !polled_;
        const bool quiet = polled_ || ring_->ask_for_notification();
        if (!quiet) continue;
        Waiter waiter(*this);
        co_await waiter.woken();
        if (asked) poll_time_->slept(PollTime::now() - empty_since);
        ring_->decline_notification();
    }
}

/// Ends when there is a chain, when it has polled long enough, or when pop() has something else to look at.
awaitable<void> Queue::poll() {
    const auto limit = poll_time_->begin();
    if (limit == PollTime::duration::zero()) co_return;
    Poller poller(*this);
    const auto until = PollTime::now() + limit;
    bool found = false;
    bool late = false;
    while (!found && !late && !stopped_ && core_.gate()->is_open()) {
        // Whatever else is ready on the loop goes first.
        co_await asio::post(core_.loop(), use_awaitable);
        for (unsigned look = 0; look < PollTime::looks && !found; ++look) {
            found = ring_->has_more();
            if (!found) PollTime::pause();
        }
        late = PollTime::now() >= until;
    }
    poller.ended = true;
    if (found) {
        poll_time_->found();
    } else if (late) {
        poll_time_->missed();
    }
}

std::optional<Chain> Queue::try_pop() {
    std::optional<Chain> chain;
    if (stopped_) return chain;
    chain = ring_->pop();
    if (chain) {
        get_company();
    } else if (ring_->mistake() != Mistake::none) {
        core_.fail(index_, describe(ring_->mistake()));
    }
    return chain;
}

void Queue::push(Chain chain, std::uint64_t written) {
    if (stopped_) return;
    if (core_.gate()->is_open() && held_.empty()) return publish(std::move(chain), written);
    held_.emplace_back(std::move(chain), written);
    if (releasing_->size() > 0) return;
    releasing_->start(core_.owner(), release_held(shared_from_this()), [](const std::exception_ptr&, bool) {});
}

awaitable<void> Queue::release_held(std::shared_ptr<Queue> self) {
    co_await PauseGate::passed(self->core_.gate());
    for (auto& [chain, written] : std::exchange(self->held_, {})) self->publish(std::move(chain), written);
}

void Queue::publish(Chain chain, std::uint64_t written) {
    ring_->push(std::move(chain), written);
    core_.given_back();
    if (std::exchange(interrupt_owed_, true)) return;
    // Behind everything that is ready on the loop now: what completes together interrupts once.
    asio::post(core_.loop(), [owner = core_.owner(), self = shared_from_this()] { self->flush(); });
}

bool Queue::served() const noexcept { return ring_->is_idle(); }

void Queue::flush() {
    interrupt_owed_ = false;
    if (!stopped_ && ring_->interrupt_due()) core_.interrupt(index_);
}

void Queue::fail(std::string_view what) {
    if (stopped_) return;
    ring_->fail(Mistake::request);
    core_.fail(index_, what);
}

void Queue::start() {
    if (most_coroutines_ > 0) get_one_more();
}

void Queue::wake() {
    if (stopped_ || idle_.empty()) return;
    const auto first = idle_.front();
    idle_.pop_front();
    first->complete();
}

/// Somebody has taken a chain: there may be one for another, too.
void Queue::get_company() {
    if (idle_.empty() && coroutines_->size() >= most_coroutines_) return;
    if (!ring_->has_more()) return;
    if (idle_.empty()) {
        get_one_more();
    } else {
        wake();
    }
}

void Queue::get_one_more() {
    const auto self = shared_from_this();
    coroutines_->start(core_.owner(), serve(self), [self](const std::exception_ptr& failure, bool cancelled) {
        if (failure && !cancelled) self->core_.failed(self->index_, failure);
    });
}

awaitable<void> Queue::serve(std::shared_ptr<Queue> self) { co_await self->core_.device().serve(*self); }

void Queue::begin_stop() {
    stopped_ = true;
    held_.clear();
    for (const auto& waiting : idle_) waiting->complete(asio::error::operation_aborted);
    coroutines_->cancel();
    releasing_->cancel();
}

awaitable<void> Queue::stopped() {
    co_await coroutines_->ended();
    co_await releasing_->ended();
}

// The author's side.

awaitable<void> Device::run() { co_return; }

void Device::save(StateWriter& writer) {
    NoState state;
    save_state(writer, name(), state);
}

void Device::restore(StateReader& reader) {
    NoState state;
    restore_state(reader, name(), state);
}

bool Device::negotiated(std::uint64_t features) const noexcept {
    return core_ != nullptr && (core_->negotiated() & features) == features;
}

std::uint64_t Device::negotiated() const noexcept { return core_ != nullptr ? core_->negotiated() : 0; }

std::shared_ptr<Queue> Device::queue(unsigned index) const noexcept {
    return core_ != nullptr ? core_->queue(index) : nullptr;
}

void Device::config_changed() {
    if (core_ != nullptr) core_->config_changed();
}

void Device::interrupt(unsigned queue) {
    if (core_ != nullptr) core_->interrupt(queue);
}

void Device::need_reset(std::string_view why) {
    if (core_ != nullptr) core_->need_reset(why);
}

}  // namespace asyncvm::virtio
