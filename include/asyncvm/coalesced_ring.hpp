/// Writes that the accelerator collects instead of stopping the vCPU for each: the devices see them a little later, in
/// order.
#pragma once

#include <asyncvm/access.hpp>

#include <cstddef>
#include <cstdint>
#include <span>

namespace asyncvm {

/// Addresses whose writes are collected. An access counts that lies inside as a whole.
struct CoalescedZone {
    Space space = Space::port;
    std::uint64_t address = 0;
    std::uint32_t size = 1;  ///< bytes: 1 to 8

    friend bool operator==(const CoalescedZone&, const CoalescedZone&) = default;
};

/// One that was collected. Which vCPU has made it is not known.
struct CoalescedWrite {
    Space space = Space::port;
    std::uint8_t size = 1;  ///< bytes
    std::uint64_t address = 0;
    std::uint64_t data = 0;  ///< little-endian, zero-extended
};

/// The accelerator's ring of collected writes: one for each machine, in the order in which the vCPUs have made them. A write
/// that finds the ring full stops its vCPU, as if it were not in a zone.
class CoalescedRing {
public:
    CoalescedRing() = default;
    CoalescedRing(const CoalescedRing&) = delete;
    CoalescedRing& operator=(const CoalescedRing&) = delete;
    virtual ~CoalescedRing() = default;

    /// From now on writes in `zone` are collected. Any thread, one at a time; may take milliseconds. Returns false if the
    /// host takes no more zones, or none in this space.
    [[nodiscard]] virtual bool collect(const CoalescedZone& zone) noexcept = 0;

    /// The opposite, for a zone that is collected. What has been collected stays. Any thread, one at a time; may take
    /// milliseconds.
    virtual void leave(const CoalescedZone& zone) noexcept = 0;

    /// Whether there is something in the ring. Any thread; costs no system call.
    [[nodiscard]] virtual bool pending() const noexcept = 0;

    /// Copies the oldest writes, without taking them, and returns how many. Any thread, one at a time with release().
    [[nodiscard]] virtual std::size_t peek(std::span<CoalescedWrite> writes) const noexcept = 0;

    /// Makes room: the `count` oldest writes have been delivered.
    virtual void release(std::size_t count) noexcept = 0;
};

}  // namespace asyncvm
