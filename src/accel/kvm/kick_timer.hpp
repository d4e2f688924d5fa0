/// Takes the thread that made it out of KVM_RUN when that takes long.
#pragma once

#include <chrono>
#include <optional>

#include <sys/types.h>
#include <time.h>

namespace asyncvm::kvm {

/// All functions on the thread that made it, but for the destructor.
class KickTimer {
public:
    /// `signal`: of claim_kick_signal(). Where the host has no timer left start() fails.
    explicit KickTimer(int signal) noexcept;
    ~KickTimer();
    KickTimer(const KickTimer&) = delete;
    KickTimer& operator=(const KickTimer&) = delete;

    [[nodiscard]] pid_t thread() const noexcept { return thread_; }

    /// From `limit` from now on signals come again and again, until stop(): one that comes before KVM_RUN has begun is lost.
    [[nodiscard]] bool start(std::chrono::nanoseconds limit) noexcept { return set(limit); }
    void stop() noexcept { static_cast<void>(set({})); }

private:
    [[nodiscard]] bool set(std::chrono::nanoseconds interval) noexcept;

    const pid_t thread_;
    std::optional<timer_t> timer_;
};

}  // namespace asyncvm::kvm
