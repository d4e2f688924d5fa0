/// When writes come so fast that it pays to have them collected. Pure.
#pragma once

#include <chrono>

namespace asyncvm {

/// Counts the writes to one range. Registering a zone with KVM and taking it back costs as much as some hundred exits (RCU
/// grace periods: 4 ms each were measured), so that a burst must be longer than a few lines of text. The clock is read once
/// for each `length` writes. One caller at a time.
class Burst {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr unsigned length = 256;
    /// A guest that needs longer for `length` writes does other things than write.
    static constexpr Clock::duration limit = length * std::chrono::microseconds(250);

    /// At each write. Returns true at the last one of each `length` that have come within `limit`.
    [[nodiscard]] bool step() noexcept { return ++count_ % length == 0 && step(Clock::now()); }

    [[nodiscard]] bool step(Clock::time_point now) noexcept {
        const bool fast = now - since_ <= limit;
        since_ = now;
        return fast;
    }

private:
    unsigned count_ = 0;
    Clock::time_point since_{};
};

}  // namespace asyncvm
