/// Histograms of durations: counters that one thread writes and any thread may read.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace asyncvm::stats {

/// One writer; readers on any thread. An addition is a load and a store, not a locked instruction.
class Counter {
public:
    void add(std::uint64_t n = 1) noexcept { set(get() + n); }
    void set(std::uint64_t n) noexcept { value_.store(n, std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_ = 0;
};

/// The scale of all histograms: exact below 8, then eight steps to each doubling, so that a value is known to 12.5 percent.
/// Values from 2^40 on (18 minutes, in nanoseconds) share the last bucket.
struct LogScale {
    static constexpr unsigned steps_bits = 3;
    static constexpr std::uint64_t steps = 1 << steps_bits;
    static constexpr unsigned limit_bits = 40;
    static constexpr std::size_t buckets = (limit_bits - steps_bits + 1) * steps + 1;

    [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < steps) return static_cast<std::size_t>(value);
        const auto doublings = static_cast<unsigned>(std::bit_width(value)) - 1 - steps_bits;
        if (doublings >= limit_bits - steps_bits) return buckets - 1;
        return static_cast<std::size_t>((doublings << steps_bits) + (value >> doublings));
    }

    /// The smallest value of a bucket.
    [[nodiscard]] static constexpr std::uint64_t first_of(std::size_t bucket) noexcept {
        if (bucket < 2 * steps) return bucket;
        const auto doublings = bucket / steps - 1;
        return (steps + bucket % steps) << doublings;
    }

    /// What stands for a bucket's values: its middle.
    [[nodiscard]] static constexpr std::uint64_t middle_of(std::size_t bucket) noexcept {
        const auto first = first_of(bucket);
        return bucket + 1 >= buckets ? first : first + (first_of(bucket + 1) - first) / 2;
    }
};

/// One writer; readers on any thread. Never allocates.
class Histogram {
public:
    void add(std::uint64_t value) noexcept {
        counts_[LogScale::bucket_of(value)].add();
        total_.add(value);
        if (value > largest_.get()) largest_.set(value);
    }

    [[nodiscard]] std::uint64_t total() const noexcept { return total_.get(); }
    [[nodiscard]] std::uint64_t largest() const noexcept { return largest_.get(); }
    [[nodiscard]] std::uint64_t count_at(std::size_t bucket) const noexcept { return counts_[bucket].get(); }

private:
    std::array<Counter, LogScale::buckets> counts_;
    Counter total_;
    Counter largest_;
};

/// The sum of histograms, at rest. One thread.
class Distribution {
public:
    void add(const Histogram& histogram) noexcept {
        for (std::size_t bucket = 0; bucket < LogScale::buckets; ++bucket) {
            counts_[bucket] += histogram.count_at(bucket);
            count_ += histogram.count_at(bucket);
        }
        total_ += histogram.total();
        largest_ = std::max(largest_, histogram.largest());
    }

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t total() const noexcept { return total_; }

    /// The value that at least `percent` of 100 values do not exceed, to the scale's precision, but never more
    /// than the largest; 0 if there is none.
    [[nodiscard]] std::uint64_t percentile(unsigned percent) const noexcept {
        // The sum of what was read, not a counter of its own: it can't disagree with the buckets.
        if (count_ == 0) return 0;
        const std::uint64_t rank = count_ / 100 * percent + (count_ % 100 * percent + 99) / 100;
        std::uint64_t passed = 0;
        for (std::size_t bucket = 0; bucket < LogScale::buckets; ++bucket) {
            passed += counts_[bucket];
            if (passed >= rank && passed != 0) return std::min(LogScale::middle_of(bucket), largest_);
        }
        return largest_;
    }

private:
    std::array<std::uint64_t, LogScale::buckets> counts_{};
    std::uint64_t count_ = 0;
    std::uint64_t total_ = 0;
    std::uint64_t largest_ = 0;
};

}  // namespace asyncvm::stats
