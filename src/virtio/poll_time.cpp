#include "virtio/poll_time.hpp"

#include <sched.h>

#include <algorithm>

namespace asyncvm::virtio {

PollTime::duration PollTime::begin() noexcept {
    if (!quick_ || limit_ == duration::zero()) return duration::zero();
    if (skipped_ == 0) return limit_;
    --skipped_;
    return duration::zero();
}

void PollTime::missed() noexcept {
    misses_ = std::min(misses_ + 1, most_misses);
    skipped_ = (1U << misses_) - 1;
}

// The wake-up is part of `waited`, and takes about as long as it is worth polling.
void PollTime::slept(duration waited) noexcept { quick_ = waited <= 2 * limit_; }

void PollTime::pause() noexcept { __builtin_ia32_pause(); }

bool has_several_processors() noexcept {
    cpu_set_t allowed;
    return ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 1;
}

}  // namespace asyncvm::virtio
