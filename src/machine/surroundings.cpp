#include "machine/surroundings.hpp"

#include <asyncvm/sleep.hpp>

#include <sys/random.h>

namespace asyncvm {

MachineClock::time_point HostClock::now() const noexcept { return std::chrono::steady_clock::now(); }

std::chrono::system_clock::time_point HostClock::time_of_day() const noexcept { return std::chrono::system_clock::now(); }

awaitable<void> HostClock::wait_until(time_point time) { return sleep_until(time); }

awaitable<void> HostClock::wait(Event& event, std::uint64_t seen, time_point time) {
    const auto left = time - now();
    if (left > duration::zero()) co_await event.wait(seen, left);
}

void HostRandom::fill(std::span<std::byte> bytes) noexcept {
    while (!bytes.empty()) {
        // Fails only when a signal comes.
        const auto filled = ::getrandom(bytes.data(), bytes.size(), 0);
        if (filled > 0) bytes = bytes.subspan(static_cast<std::size_t>(filled));
    }
}

}  // namespace asyncvm
