/// One address space of a machine, and the devices in it.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/posted_writes.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace asyncvm {

class Bell;

struct AddressRange {
    std::uint64_t first = 0;
    std::uint64_t size = 1;
    /// An access that starts inside is the device's as a whole, also where it reaches past the end: for ports that take 1, 2
    /// or 4 bytes but leave their neighbours to other devices (a debug console at 0xf1, an exit port at 0xf4).
    bool whole = false;
};

/// A range, and the name of the device that was attached there.
struct AttachedRange {
    AddressRange range;
    std::string_view device;
};

/// Finds the device of an access, keeps accesses to one device apart, and answers for absent devices: reads give all-ones,
/// writes vanish.
class Bus {
public:
    /// Devices with Affinity::device_loop are called on `device_loop`. `log` is told of devices that fail.
    Bus(Space space, asio::io_context& device_loop, Log log);
    ~Bus();
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;

    /// Before the guest runs. Ranges of one bus may not overlap; a device may have several. Throws Error(usage) that names
    /// both devices.
    void attach(AddressRange range, std::shared_ptr<Device> device);

    /// Carries one exit of vCPU `cpu` out, on that vCPU's executor. Accesses that cross a range's end (unless it is whole),
    /// or wider ones than the device's max_access_size(), are split, lowest address first. Throws only operation_aborted.
    [[nodiscard]] awaitable<void> perform(Transaction& transaction, unsigned cpu);

    /// Whether the devices in `zone` post writes, as things are; addresses without a device do. Any thread.
    [[nodiscard]] bool posts(const PostedZone& zone) const noexcept;

    /// `listener` hears of bursts of single writes that the device would post: of each 256 that came with at most `pause`
    /// between them, on the average. On the thread of the vCPU. Before the guest runs.
    void on_burst(std::chrono::steady_clock::duration pause, std::function<void(const PostedZone&)> listener) {
        burst_pause_ = pause;
        on_burst_ = std::move(listener);
    }

    /// Every doorbell of every device.
    [[nodiscard]] std::vector<std::shared_ptr<Bell>> bells() const;

    /// Every device once, in the order of attachment.
    [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const;

    /// In the order of their addresses. The names live as long as the devices.
    [[nodiscard]] std::vector<AttachedRange> ranges() const;

    /// The name of the device at `address`, or an empty view.
    [[nodiscard]] std::string_view device_name(std::uint64_t address) const noexcept;

    /// Accesses that found no device. Any thread.
    [[nodiscard]] std::uint64_t unclaimed() const noexcept { return unclaimed_.load(std::memory_order_relaxed); }

private:
    struct Seat;
    struct Mapping;
    [[nodiscard]] const Mapping* find(std::uint64_t address) const noexcept;
    /// Whether a device begins behind `address`, within `size` bytes.
    [[nodiscard]] bool reaches_device(std::uint64_t address, std::uint64_t size) const noexcept;
    [[nodiscard]] static bool ring(const Mapping& mapping, const Transaction& transaction) noexcept;
    [[nodiscard]] awaitable<void> perform_split(Transaction& transaction, unsigned cpu);

    Space space_;
    void tell_burst(const Transaction& transaction) const;

    asio::io_context& device_loop_;
    Log log_;
    std::chrono::steady_clock::duration burst_pause_{};
    std::function<void(const PostedZone&)> on_burst_;
    std::vector<std::shared_ptr<Seat>> seats_;
    std::vector<Mapping> mappings_;
    std::atomic<std::uint64_t> unclaimed_ = 0;
};

}  // namespace asyncvm
