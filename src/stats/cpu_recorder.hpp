/// What one vCPU does and how long it takes: written by the vCPU's thread, read by any.
#pragma once

#include <asyncvm/exit.hpp>
#include <asyncvm/statistics.hpp>

#include "stats/histogram.hpp"
#include "stats/places.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <variant>
#include <vector>

namespace asyncvm::stats {

using Clock = std::chrono::steady_clock;

/// entering() to ended() are called on the vCPU's thread, in the order of the events, and neither allocate nor lock. `now`
/// never goes back.
class CpuRecorder {
public:
    /// `places` must outlive the object.
    explicit CpuRecorder(const Places& places) : places_(places), rows_(places.size()) {}
    CpuRecorder(const CpuRecorder&) = delete;
    CpuRecorder& operator=(const CpuRecorder&) = delete;

    /// The guest is about to be entered: the access that the last exit asked for, if it did, has been answered.
    void entering(Clock::time_point now) noexcept;

    /// The guest has exited.
    void exited(const Exit& exit, Clock::time_point now) noexcept;

    /// The access has suspended, for the first time or again.
    void suspended(Clock::time_point now) noexcept;
    void resumed() noexcept { wake_ups_.add(); }

    /// The vCPU will not be entered again. An access that is under way counts as answered now.
    void ended(Clock::time_point now) noexcept;

    struct Row {
        Counter reads;
        Counter writes;
        Counter bytes;
        Histogram guest;
        Histogram device;
        Histogram waiting;
    };

    // Any thread.

    [[nodiscard]] const Row& row(std::size_t place) const noexcept { return rows_[place]; }
    /// `kind` is an index of the variant Exit.
    [[nodiscard]] std::uint64_t exits(std::size_t kind) const noexcept { return exits_[kind].get(); }
    [[nodiscard]] CpuStatistics summary(Clock::time_point now) const noexcept;

private:
    static constexpr std::uint64_t no_place = ~std::uint64_t{0};

    void answer(Clock::time_point now) noexcept;
    void change(CpuStatistics::State state, Clock::time_point now) noexcept;

    const Places& places_;
    std::vector<Row> rows_;
    std::array<Counter, std::variant_size_v<Exit>> exits_;
    Counter guest_;  // nanoseconds, these three
    Counter device_;
    Counter waiting_;
    Counter wake_ups_;
    Counter state_;                                // a CpuStatistics::State
    Counter since_;                                // when that began: nanoseconds of the clock
    std::atomic<std::uint64_t> place_ = no_place;  // of the access that is under way

    // The vCPU's thread alone.
    bool suspended_ = false;
    Clock::time_point entered_{};
    Clock::time_point exited_{};
    Clock::time_point suspended_at_{};
};

}  // namespace asyncvm::stats
