/// How many lines a device may put on the log. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

namespace asyncvm::remote {

/// `burst` lines at once, and then one each `pace`.
class LogLimit {
public:
    using Clock = std::chrono::steady_clock;
    static constexpr unsigned burst = 10;
    static constexpr std::chrono::milliseconds pace{100};

    /// Whether a line may be printed `now`.
    [[nodiscard]] bool take(Clock::time_point now) noexcept {
        const auto earned = (now - since_) / pace;
        if (earned > 0) {
            lines_ = static_cast<unsigned>(std::min<std::int64_t>(burst, lines_ + earned));
            since_ = lines_ == burst ? now : since_ + earned * pace;
        }
        if (lines_ == 0) {
            ++left_out_;
            return false;
        }
        --lines_;
        return true;
    }

    /// Lines that were not printed since the last call.
    [[nodiscard]] std::uint64_t left_out() noexcept { return std::exchange(left_out_, 0); }

private:
    Clock::time_point since_{};
    unsigned lines_ = burst;
    std::uint64_t left_out_ = 0;
};

}  // namespace asyncvm::remote
