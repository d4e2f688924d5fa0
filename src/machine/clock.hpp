/// The clock and the random bytes of a machine on a real host.
#pragma once

#include <asyncvm/device_context.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace asyncvm {

/// The host's monotonic clock, less the time that the machine was paused.
class PausableClock final : public MachineClock {
public:
    [[nodiscard]] time_point now() const noexcept override;
    [[nodiscard]] std::chrono::system_clock::time_point time_of_day() const noexcept override;
    [[nodiscard]] awaitable<void> wait_until(time_point time) override;
    [[nodiscard]] awaitable<void> wait(Event& event, std::uint64_t seen, time_point time) override;

    /// now() stands, or goes on. Any thread; a second call of the same kind does nothing.
    void stand() noexcept;
    void go_on() noexcept;

private:
    class Watch;
    using HostClock = std::chrono::steady_clock;
    /// How long the host has to wait for now() to reach `time`; Event::no_limit while the clock stands.
    [[nodiscard]] HostClock::duration host_wait(time_point time) const noexcept;

    mutable std::mutex mutex_;
    bool stands_ = false;
    HostClock::time_point stood_at_{};  ///< since when, while it stands
    HostClock::duration behind_{};      ///< behind the host's clock
    std::vector<Event*> watched_;       ///< of the waits that are under way
    Event changed_;                     ///< stands_
};

/// getrandom(2).
[[nodiscard]] std::shared_ptr<RandomSource> make_host_random();

}  // namespace asyncvm
