/// When output is sent at once, and when it is worth waiting for more. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace asyncvm {

/// To wake the coroutine that sends for each byte costs more than the guest's exit: a guest that prints a log is sent a
/// pause's output at a time. A guest that answers its client with a few bytes must not wait for that. One for each coroutine
/// that sends.
class OutputBurst {
public:
    using Time = std::chrono::steady_clock::time_point;
    using Duration = std::chrono::steady_clock::duration;

    /// Bytes without a silence between them that make a burst: more than an answer to a key, fewer than a line.
    static constexpr std::uint64_t length = 32;
    /// What makes a silence: more than a slow host takes from one byte to the next.
    static constexpr std::chrono::milliseconds silence{5};
    /// The pause grows with the burst, so that no client gets the end of an answer later than a quarter of the time that the
    /// guest took for it, up to what nobody sees on a screen.
    static constexpr std::chrono::milliseconds shortest{1};
    static constexpr std::chrono::milliseconds longest{10};
    /// Bytes at a time from which on waking is no longer what costs.
    static constexpr std::uint64_t bulk = 16 << 10;

    /// Everything before `position` in the output has been sent; `heard`: how often the client has sent something, ever.
    /// Returns how long to wait for more before it is sent; 0: send the next byte at once.
    [[nodiscard]] Duration pause(std::uint64_t position, std::uint64_t heard, Time now) noexcept {
        const bool nothing = position == position_;
        const bool silent = pause_ == Duration::zero() ? now - last_ >= silence : nothing;
        if (silent || heard != heard_) {
            from_ = position_;
            since_ = now;
        }
        const auto sent = position - position_;
        position_ = position;
        heard_ = heard;
        last_ = now;
        const bool lasts = !nothing && position - from_ >= length && sent < bulk;
        pause_ = lasts ? std::clamp<Duration>((now - since_) / 4, shortest, longest) : Duration::zero();
        return pause_;
    }

private:
    std::uint64_t position_ = 0;
    std::uint64_t from_ = 0;
    std::uint64_t heard_ = 0;
    Time since_{};
    Time last_{};
    Duration pause_{};
};

}  // namespace asyncvm
