/// What a machine gives to its devices: a clock and random bytes of the host.
#pragma once

#include <asyncvm/device_context.hpp>

namespace asyncvm {

/// The host's clocks.
class HostClock final : public MachineClock {
public:
    [[nodiscard]] time_point now() const noexcept override;
    [[nodiscard]] std::chrono::system_clock::time_point time_of_day() const noexcept override;
    [[nodiscard]] awaitable<void> wait_until(time_point time) override;
    [[nodiscard]] awaitable<void> wait(Event& event, std::uint64_t seen, time_point time) override;
};

/// getrandom().
class HostRandom final : public RandomSource {
public:
    void fill(std::span<std::byte> bytes) noexcept override;
};

}  // namespace asyncvm
