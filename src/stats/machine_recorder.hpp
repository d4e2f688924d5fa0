/// The statistics of a machine: a recorder for each vCPU, and the sums.
#pragma once

#include <asyncvm/statistics.hpp>

#include "stats/cpu_recorder.hpp"
#include "stats/places.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace asyncvm::stats {

/// Allocates all that it needs when it is made.
class MachineRecorder {
public:
    /// On the device loop's thread.
    MachineRecorder(Places places, unsigned cpus, Clock::time_point now);
    MachineRecorder(const MachineRecorder&) = delete;
    MachineRecorder& operator=(const MachineRecorder&) = delete;

    [[nodiscard]] CpuRecorder& cpu(unsigned index) noexcept { return *cpus_[index]; }

    /// Any thread: `count` writes have arrived at an address without an exit of their own.
    void posted(Space space, std::uint64_t address, std::uint64_t count = 1) noexcept;

    /// The run has ended. On the device loop's thread.
    void finish(Clock::time_point now) noexcept;

    /// While the vCPUs run, or later. On the device loop's thread.
    [[nodiscard]] Statistics snapshot(Clock::time_point now) const;

private:
    const Places places_;
    std::vector<std::unique_ptr<CpuRecorder>> cpus_;
    std::vector<std::atomic<std::uint64_t>> posted_;
    const Clock::time_point start_;
    const std::uint64_t slept_before_;
    std::optional<Clock::time_point> end_;
    std::uint64_t slept_ = 0;  ///< until the end
};

}  // namespace asyncvm::stats
