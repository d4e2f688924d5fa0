/// How long a queue is polled before its device sleeps.
#pragma once

#include <chrono>

namespace asyncvm::virtio {

/// A sleep costs a notification by the driver and a wake-up of the device loop, tens of microseconds together; polling costs
/// a processor. So a queue is polled if its last sleep was short. When no chain comes although it is polled, the driver may
/// have nothing to do, or wait for this very processor: the next one, three, seven, at last 255 times the device sleeps at
/// once. Pure, but for now() and pause().
class PollTime {
public:
    using clock = std::chrono::steady_clock;
    using duration = clock::duration;

    /// How often the ring is looked at before the loop does its other work: for about a microsecond.
    static constexpr unsigned looks = 16;

    /// `limit`: how long to poll; 0: never.
    explicit PollTime(duration limit) noexcept : limit_(limit) {}

    /// The queue is empty: how long to poll it now.
    [[nodiscard]] duration begin() noexcept;
    /// A chain has come meanwhile.
    void found() noexcept { misses_ = 0; }
    /// None has come.
    void missed() noexcept;
    /// A notification has come, `waited` after the queue had been found empty.
    void slept(duration waited) noexcept;

    [[nodiscard]] static clock::time_point now() noexcept { return clock::now(); }
    /// Between two looks.
    static void pause() noexcept;

private:
    static constexpr unsigned most_misses = 8;

    const duration limit_;
    bool quick_ = false;
    unsigned misses_ = 0;   ///< in a row
    unsigned skipped_ = 0;  ///< how often to sleep at once
};

/// Whether threads of this process can run at the same time: otherwise polling keeps the driver from its work.
[[nodiscard]] bool has_several_processors() noexcept;

}  // namespace asyncvm::virtio
