/// Which writes it pays to have collected: when they come in a burst, and the zones that are collected. Pure.
#pragma once

#include <asyncvm/coalesced_ring.hpp>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <limits>
#include <vector>

namespace asyncvm {

/// Counts the writes to one range. To register a zone with KVM and to unregister it takes as long as some hundred exits (RCU
/// grace periods: 4 ms each were measured), so a burst must be longer than a few lines of text. The clock is read once for
/// each `length` writes. Callers at the same time, as a concurrent device has them, lose a count now and then.
class BurstDetector {
public:
    using Clock = std::chrono::steady_clock;

    static constexpr unsigned length = 256;

    /// At each write. Returns true at the last one of each `length` that have come with at most `pause` between them, on the
    /// average.
    [[nodiscard]] bool step(Clock::duration pause) noexcept {
        // The builtins, because a mapping is moved: for one caller this is the plain increment.
        const unsigned count = __atomic_load_n(&count_, __ATOMIC_RELAXED) + 1;
        __atomic_store_n(&count_, count, __ATOMIC_RELAXED);
        return count % length == 0 && step(pause, Clock::now());
    }

    [[nodiscard]] bool step(Clock::duration pause, Clock::time_point now) noexcept {
        const auto time = now.time_since_epoch().count();
        const auto before = __atomic_exchange_n(&since_, time, __ATOMIC_RELAXED);
        return before != never && Clock::duration(time - before) <= length * pause;
    }

private:
    static constexpr Clock::rep never = std::numeric_limits<Clock::rep>::min();

    unsigned count_ = 0;
    Clock::rep since_ = never;
};

/// The zones that are collected. None contains another: when KVM is told to leave a zone, it leaves every zone that contains
/// it, and no zone inside it. One caller at a time.
class CoalescedZones {
public:
    [[nodiscard]] const std::vector<CoalescedZone>& all() const noexcept { return zones_; }

    /// Whether all writes in `zone` are collected by one zone already.
    [[nodiscard]] bool covers(const CoalescedZone& zone) const {
        return std::ranges::any_of(zones_, [&](const CoalescedZone& other) { return contains(other, zone); });
    }

    /// The zones that have to be left before `zone` is collected, which then collects their writes.
    [[nodiscard]] std::vector<CoalescedZone> inside(const CoalescedZone& zone) const {
        std::vector<CoalescedZone> found;
        std::ranges::copy_if(zones_, std::back_inserter(found),
                             [&](const CoalescedZone& other) { return contains(zone, other); });
        return found;
    }

    /// `zone` is collected from now on. No zone covers() it or is inside() it.
    void add(const CoalescedZone& zone) { zones_.push_back(zone); }

    void remove(const CoalescedZone& zone) { std::erase(zones_, zone); }

private:
    [[nodiscard]] static bool contains(const CoalescedZone& outer, const CoalescedZone& inner) noexcept {
        return outer.space == inner.space && inner.address - outer.address < outer.size &&
               inner.size <= outer.size - (inner.address - outer.address);
    }

    std::vector<CoalescedZone> zones_;
};

}  // namespace asyncvm
