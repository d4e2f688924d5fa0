/// When output is sent at once, and when it is worth waiting for more. Pure.
#pragma once

#include <chrono>
#include <cstdint>

namespace asyncvm {

/// A guest that prints a log is faster than its client is told of each byte: then the output of a millisecond is sent
/// together. A guest that answers its client with a few bytes must not wait for that. One for each coroutine that sends.
class OutputBurst {
public:
    using Time = std::chrono::steady_clock::time_point;

    /// What a burst's output waits for more.
    static constexpr std::chrono::milliseconds pause{1};
    /// Bytes within a pause that make a burst: more than an answer to a key, fewer than a line.
    static constexpr std::uint64_t length = 32;

    /// Everything before `position` in the output has been sent. Returns whether a burst lasts.
    [[nodiscard]] bool lasts(std::uint64_t position, Time now) noexcept {
        if (now - since_ >= pause) {
            since_ = now;
            from_ = position_;
        }
        position_ = position;
        return position - from_ >= length;
    }

private:
    std::uint64_t position_ = 0;
    std::uint64_t from_ = 0;
    Time since_{};
};

}  // namespace asyncvm
