/// Posted writes: decides when they are collected, and delivers them to their devices in order and soon.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/coalesced_ring.hpp>
#include <asyncvm/event.hpp>

#include "async/async_mutex.hpp"
#include "bus/coalesced_zones.hpp"
#include "bus/io_bus.hpp"
#include "machine/observers.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace asyncvm {

/// Collects the writes to a zone from the first burst there until nothing has been collected for a while, or until the
/// device no longer posts. In between the vCPUs deliver what is in the ring before they do anything else with an exit, and
/// the device loop looks from time to time (RingPace): a write reaches its device a few milliseconds later. While no zone is
/// collected nothing here runs.
class CoalescedWrites {
public:
    /// All of them outlive run() and every drain(). A burst is what comes with at most `pause` between two writes.
    CoalescedWrites(CoalescedRing& ring, IoBus& ports, IoBus& mmio, const Observers& observers,
                    std::chrono::nanoseconds pause);
    CoalescedWrites(const CoalescedWrites&) = delete;
    CoalescedWrites& operator=(const CoalescedWrites&) = delete;
    ~CoalescedWrites();

    /// Whether drain() has something to do. Any thread; two loads.
    [[nodiscard]] bool pending() const noexcept { return ring_.pending(); }

    /// Delivers what is in the ring. When it returns, everything that was posted before the call has reached its device,
    /// also what another caller was delivering. Any executor. Throws std::system_error(operation_aborted) when cancelled;
    /// what a device was just taking is then not delivered again.
    [[nodiscard]] awaitable<void> drain();

    /// The background work. Device loop.
    [[nodiscard]] static awaitable<void> run(std::shared_ptr<CoalescedWrites> self);

    /// No vCPU runs any more: run() delivers what is left and returns. Completes then, or after `limit`. Device loop.
    [[nodiscard]] awaitable<void> finish(std::chrono::milliseconds limit);

    /// Nobody changes zones any more: `ring` may go. Device loop, or without one.
    void shut() noexcept;

    /// Zones that are collected. Any thread.
    [[nodiscard]] std::size_t zones() const noexcept { return zone_count_.load(std::memory_order_relaxed); }
    /// Notified when zones() has changed.
    [[nodiscard]] Event& zones_changed() noexcept { return zones_changed_; }
    /// Writes that were collected and delivered. Any thread.
    [[nodiscard]] std::uint64_t delivered() const noexcept { return delivered_.load(std::memory_order_relaxed); }

private:
    /// As many as KVM's ring of one page holds.
    static constexpr std::size_t batch = 170;

    class Release;
    void want(const CoalescedZone& zone);
    [[nodiscard]] IoBus& bus(Space space) noexcept { return space == Space::port ? ports_ : mmio_; }
    [[nodiscard]] std::size_t gather(std::size_t first, std::size_t count, Transaction& transaction) noexcept;
    [[nodiscard]] awaitable<void> collect_wanted();
    [[nodiscard]] awaitable<void> leave_some(bool all);
    [[nodiscard]] awaitable<bool> on_worker(CoalescedZone zone, bool collect);
    void zones_have_changed() noexcept;

    CoalescedRing& ring_;
    IoBus& ports_;
    IoBus& mmio_;
    const Observers& observers_;

    AsyncMutex delivery_mutex_;  ///< of drain(); with it go:
    std::array<CoalescedWrite, batch> taken_{};
    std::array<std::byte, batch * sizeof(CoalescedWrite::data)> data_{};
    std::atomic<std::uint64_t> delivered_ = 0;

    std::mutex mutex_;
    std::vector<CoalescedZone> wanted_;  ///< bursts that run() has not looked at yet
    Event changed_;                      ///< wanted_, ending_
    std::atomic<bool> ending_ = false;

    // The device loop's.
    std::optional<asio::thread_pool> worker_;  ///< changes zones: the kernel takes milliseconds for that
    CoalescedZones zones_;
    std::atomic<std::size_t> zone_count_ = 0;
    Event zones_changed_;
    bool ended_ = false;
    Event end_;
};

}  // namespace asyncvm
