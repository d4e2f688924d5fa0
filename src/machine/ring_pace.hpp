/// How often the device loop looks for posted writes that no vCPU delivers. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace asyncvm {

/// A guest that waits for each byte (the line status, a full buffer) delivers what it posts with its own exits: the loop,
/// which would find the last byte or nothing, looks more seldom then.
class RingPace {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr std::chrono::milliseconds shortest{1};
    static constexpr std::chrono::milliseconds longest{8};
    /// Without a write for so long, nothing is collected any more.
    static constexpr std::chrono::milliseconds patience{100};

    /// At each look: whether it `found` writes; how many had been delivered ever `before` it, and how many have `after` it.
    void looked(bool found, std::uint64_t before, std::uint64_t after, Clock::time_point now) noexcept {
        const bool by_vcpus = before != delivered_;
        if (by_vcpus) {
            pause_ = std::min<Clock::duration>(2 * pause_, longest);
        } else if (found) {
            pause_ = shortest;
        }
        if (found || by_vcpus) since_ = now;
        delivered_ = after;
        idle_ = now - since_ > patience;
    }

    /// Collecting begins.
    void restart(Clock::time_point now) noexcept {
        pause_ = shortest;
        since_ = now;
        idle_ = false;
    }

    /// Until the next look.
    [[nodiscard]] Clock::duration pause() const noexcept { return pause_; }
    [[nodiscard]] bool idle() const noexcept { return idle_; }

private:
    Clock::duration pause_ = shortest;
    Clock::time_point since_{};
    std::uint64_t delivered_ = 0;
    bool idle_ = false;
};

}  // namespace asyncvm
