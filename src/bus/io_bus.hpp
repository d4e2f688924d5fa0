/// The inner side of a bus: from an address to its device, and how an access is carried out.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/bus.hpp>
#include <asyncvm/coalesced_ring.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/log.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "bus/device_slot.hpp"

namespace asyncvm {

class IoEvent;
class MovingPlace;

/// Finds the device of an access, splits what the device does not take as a whole, and answers for absent devices.
class IoBus final : public Bus {
public:
    /// A bus of the machine whose devices are in `slots`.
    IoBus(Space space, std::shared_ptr<DeviceSlots> slots);
    /// A bus alone.
    IoBus(Space space, asio::io_context& device_loop, Log log);
    ~IoBus() override;

    void attach(AddressRange range, std::shared_ptr<Device> device) override;
    [[nodiscard]] std::shared_ptr<MovableRange> attach_movable(std::uint64_t size, std::shared_ptr<Device> device) override;
    [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override;
    [[nodiscard]] std::vector<AttachedRange> ranges() const override;
    [[nodiscard]] std::string_view device_name(std::uint64_t address) const noexcept override;
    [[nodiscard]] std::uint64_t unclaimed() const noexcept override { return unclaimed_.load(std::memory_order_relaxed); }

    [[nodiscard]] std::vector<UnclaimedAddress> unclaimed_addresses() const override;

    class DeviceAccess;
    class Hint;

    /// The access that one device takes as it is, a single one or a string. Empty where there is none: then perform() knows
    /// what to do. It takes the device's mutex if that is free, and makes no coroutine of the bus.
    [[nodiscard]] DeviceAccess try_access(Transaction& transaction, unsigned cpu, Hint& hint) noexcept;

    /// Carries any transaction of vCPU `cpu` out, on the current executor. An access that crosses a range's end (unless the
    /// range is whole), or is wider than the device's max_access_size(), is split, lowest address first. Throws only
    /// std::system_error(operation_aborted), when it is cancelled.
    [[nodiscard]] awaitable<void> perform(Transaction& transaction, unsigned cpu);

    /// Whether the devices in `zone` post writes, as things are; addresses without a device do. Any thread.
    [[nodiscard]] bool posts(const CoalescedZone& zone) const noexcept;

    /// `listener` hears of bursts of single writes that the device would post: of each 256 that came with at most `pause`
    /// between them, on the average. On the thread of the vCPU. Before the guest runs.
    void on_burst(std::chrono::steady_clock::duration pause, std::function<void(const CoalescedZone&)> listener);

    /// A range that the guest moves. The name lives as long as the device.
    struct AttachedMovable {
        std::shared_ptr<const MovingPlace> place;
        std::uint64_t size = 0;
        std::string_view device;
    };
    /// In the order of attachment, which is the order in which they are looked for.
    [[nodiscard]] std::vector<AttachedMovable> movable_ranges() const;
    /// The others, which come before them, in the order of their addresses.
    [[nodiscard]] std::vector<AttachedRange> standing_ranges() const;

    /// Every doorbell of every device.
    [[nodiscard]] std::vector<std::shared_ptr<IoEvent>> ioevents() const;

private:
    struct Mapping;
    class Movable;
    /// A place in a device's range. Without a mapping: nobody's.
    struct Found {
        const Mapping* mapping = nullptr;
        std::uint64_t offset = 0;
    };
    [[nodiscard]] Found find(std::uint64_t address) const noexcept;
    [[nodiscard]] std::vector<std::shared_ptr<IoEvent>> ioevents_of(const std::shared_ptr<DeviceSlot>& slot,
                                                                    std::optional<std::uint64_t> first,
                                                                    std::uint64_t size) const;
    /// Whether a device begins behind `address`, within `size` bytes.
    [[nodiscard]] bool reaches_device(std::uint64_t address, std::uint64_t size) const noexcept;
    /// Where the accelerator has stopped the vCPU for a write that only notifies: rings, and returns true.
    [[nodiscard]] static bool ring(const Found& found, const Transaction& transaction) noexcept;
    /// Whether `transaction`, or each element of it, is one that the device takes as it is.
    [[nodiscard]] static bool suits(const Found& found, const Transaction& transaction) noexcept;
    [[nodiscard]] awaitable<void> perform_split(Transaction& transaction, unsigned cpu);
    void written(const Mapping& mapping, const Transaction& transaction) const;
    void report_burst(const Transaction& transaction) const;
    void note_unclaimed(const Transaction& transaction) noexcept;

    const Space space_;
    const std::shared_ptr<DeviceSlots> slots_;
    std::chrono::steady_clock::duration burst_pause_{};
    std::function<void(const CoalescedZone&)> on_burst_;
    std::vector<Mapping> mappings_;
    std::vector<std::shared_ptr<Movable>> movables_;  ///< in the order of attachment
    std::atomic<std::uint64_t> unclaimed_ = 0;
    mutable std::mutex unclaimed_mutex_;
    std::vector<UnclaimedAddress> unclaimed_addresses_;  ///< never longer than it was reserved
};

/// Where the last access of a vCPU was: the next one is likely to be there again. One for each vCPU and bus.
class IoBus::Hint {
    friend class IoBus;
    const Mapping* last_ = nullptr;
};

/// An access on its way to one device. It unlocks the device's mutex at its end. answer_each() carries it out.
class IoBus::DeviceAccess {
public:
    DeviceAccess() = default;
    DeviceAccess(const DeviceAccess&) = delete;
    DeviceAccess& operator=(const DeviceAccess&) = delete;
    ~DeviceAccess();

    explicit operator bool() const noexcept { return bus_ != nullptr; }

private:
    friend class IoBus;
    friend awaitable<void> answer_each(class AccessSource& source);
    DeviceAccess(IoBus& bus, const Found& found, Transaction& transaction, unsigned cpu) noexcept;

    [[nodiscard]] awaitable<void> lock();
    /// Whether there is no device any more; the access is answered then.
    [[nodiscard]] bool absent() noexcept;
    /// The device's own coroutine. Once.
    [[nodiscard]] awaitable<void> answer();
    /// The device has answered: hands a read's data to the guest.
    void finish();
    /// The device has thrown instead.
    void fail(std::exception_ptr failure, asio::cancellation_type cancelled);

    IoBus* bus_ = nullptr;
    const Mapping* mapping_ = nullptr;
    Transaction* transaction_ = nullptr;
    Access access_;
    bool locked_ = false;
};

/// Where accesses come from that are made one after the other.
class AccessSource {
public:
    /// The next access, or an empty one if there is none. The one before has been answered.
    [[nodiscard]] virtual IoBus::DeviceAccess next() = 0;

protected:
    ~AccessSource() = default;
};

/// Carries out the accesses of `source`, on the current executor. No coroutine is between this one and the device's. When a
/// device throws, it is detached and the guest reads all-ones; when the caller is cancelled, what was thrown is thrown on.
[[nodiscard]] awaitable<void> answer_each(AccessSource& source);

}  // namespace asyncvm
