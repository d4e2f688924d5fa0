#include "stats/histogram.hpp"

namespace asyncvm::stats {

std::uint64_t Distribution::percentile(unsigned percent) const noexcept {
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

}  // namespace asyncvm::stats
