#include "machine/clock.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>

namespace asyncvm {

/// An event that hears when the clock stands or goes on.
class PausableClock::Watch {
public:
    Watch(PausableClock& clock, Event& event) : clock_(clock), event_(event) {
        const std::lock_guard lock(clock_.mutex_);
        clock_.watched_.push_back(&event_);
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() {
        const std::lock_guard lock(clock_.mutex_);
        clock_.watched_.erase(std::ranges::find(clock_.watched_, &event_));
    }

private:
    PausableClock& clock_;
    Event& event_;
};

MachineClock::time_point PausableClock::now() const noexcept {
    const std::lock_guard lock(mutex_);
    return (stands_ ? stood_at_ : HostClock::now()) - behind_;
}

std::chrono::system_clock::time_point PausableClock::time_of_day() const noexcept {
    return std::chrono::system_clock::now();
}

PausableClock::HostClock::duration PausableClock::host_wait(time_point time) const noexcept {
    const std::lock_guard lock(mutex_);
    if (stands_ || time == time_point::max()) return Event::no_limit;
    // Compared first: the difference to a time that is long past is too large.
    const auto now = HostClock::now() - behind_;
    return time > now ? time - now : HostClock::duration::zero();
}

awaitable<void> PausableClock::wait_until(time_point time) {
    for (;;) {
        const auto seen = changed_.generation();
        const auto wait = host_wait(time);
        if (wait == HostClock::duration::zero()) co_return;
        co_await changed_.wait(seen, wait);
    }
}

awaitable<void> PausableClock::wait(Event& event, std::uint64_t seen, time_point time) {
    const Watch watch(*this, event);
    const auto wait = host_wait(time);
    if (wait > HostClock::duration::zero()) co_await event.wait(seen, wait);
}

void PausableClock::stand() noexcept {
    const std::lock_guard lock(mutex_);
    if (stands_) return;
    stands_ = true;
    stood_at_ = HostClock::now();
    changed_.notify();
    for (Event* const event : watched_) event->notify();
}

void PausableClock::go_on() noexcept {
    const std::lock_guard lock(mutex_);
    if (!stands_) return;
    stands_ = false;
    behind_ += HostClock::now() - stood_at_;
    changed_.notify();
    for (Event* const event : watched_) event->notify();
}

namespace {

class HostRandom final : public RandomSource {
public:
    void fill(std::span<std::byte> bytes) noexcept override {
        while (!bytes.empty()) {
            const auto count = ::getrandom(bytes.data(), bytes.size(), 0);
            // Interrupted before it had any: nothing else can go wrong with a valid buffer.
            if (count > 0) bytes = bytes.subspan(static_cast<std::size_t>(count));
        }
    }
};

}  // namespace

std::shared_ptr<RandomSource> make_host_random() { return std::make_shared<HostRandom>(); }

}  // namespace asyncvm
