#include "accel/kvm/kick_timer.hpp"

#include <unistd.h>

#include <csignal>

namespace asyncvm::kvm {

KickTimer::KickTimer(int signal) noexcept : thread_(gettid()) {
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = signal;
    event._sigev_un._tid = thread_;
    timer_t timer{};
    if (::timer_create(CLOCK_MONOTONIC, &event, &timer) == 0) timer_ = timer;
}

KickTimer::~KickTimer() {
    if (timer_) ::timer_delete(*timer_);
}

bool KickTimer::set(std::chrono::nanoseconds interval) noexcept {
    if (!timer_) return false;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(interval);
    itimerspec spec{};
    spec.it_value.tv_sec = spec.it_interval.tv_sec = seconds.count();
    spec.it_value.tv_nsec = spec.it_interval.tv_nsec = static_cast<long>((interval - seconds).count());
    return ::timer_settime(*timer_, 0, &spec, nullptr) == 0;
}

}  // namespace asyncvm::kvm
