/// When writes come so fast that it pays to have them collected. Pure.
#pragma once

#include <chrono>
#include <optional>

namespace asyncvm {

/// Counts the writes to one range. Registering a zone with KVM and taking it back costs as much as some hundred exits (RCU
/// grace periods: 4 ms each were measured), so that a burst must be longer than a few lines of text. The clock is read once
/// for each `length` writes. One caller at a time.
class BurstDetector {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr unsigned length = 256;

    /// At each write. Returns true at the last one of each `length` that have come with at most `pause` between them, on the
    /// average.
    [[nodiscard]] bool step(Clock::duration pause) noexcept { return ++count_ % length == 0 && step(pause, Clock::now()); }

    [[nodiscard]] bool step(Clock::duration pause, Clock::time_point now) noexcept {
        const bool fast = since_ && now - *since_ <= length * pause;
        since_ = now;
        return fast;
    }

private:
    unsigned count_ = 0;
    std::optional<Clock::time_point> since_;
};

}  // namespace asyncvm
