/// The statistics of a machine: a recorder for each vCPU, and the sums.
#pragma once

#include <asyncvm/observer.hpp>
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
class MachineRecorder final : public Observer {
public:
    /// On the device loop's thread.
    MachineRecorder(Places places, unsigned cpus, Clock::time_point now);

    [[nodiscard]] CpuRecorder& cpu(unsigned index) noexcept { return *cpus_[index]; }

    /// The run has ended. Device loop.
    void finish(Clock::time_point now) noexcept;

    void run_ended() noexcept override { finish(Clock::now()); }
    void entering(unsigned cpu) noexcept override { cpus_[cpu]->entering(Clock::now()); }
    void exited(unsigned cpu, const Exit& exit, std::uint64_t rip) noexcept override;
    void suspended(unsigned cpu) noexcept override { cpus_[cpu]->suspended(Clock::now()); }
    void resumed(unsigned cpu) noexcept override { cpus_[cpu]->resumed(); }
    void cpu_ended(unsigned cpu) noexcept override { cpus_[cpu]->ended(Clock::now()); }
    void posted(const Transaction& writes) noexcept override;

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
