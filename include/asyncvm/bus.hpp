/// One address space of a machine, and the devices in it.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/coalesced_ring.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/log.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace asyncvm {

class IoEvent;

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

    class DeviceAccess;
    class Hint;

    /// The short way of the accesses that are by far the most: a single one, to a device whose
    /// turn is free. No coroutine of the bus is between the caller and the device's then. An empty access: only perform()
    /// can do it.
    ///
    ///     if (auto access = bus.try_access(transaction, cpu, hint)) {
    ///         std::exception_ptr failure;
    ///         try {
    ///             co_await access.answer();
    ///             access.finish();
    ///         } catch (...) {
    ///             failure = std::current_exception();
    ///         }
    ///         if (failure) {
    ///             const auto cancellation = co_await asio::this_coro::cancellation_state;
    ///             access.fail(std::move(failure), cancellation.cancelled());
    ///         }
    ///     }
    [[nodiscard]] DeviceAccess try_access(Transaction& transaction, unsigned cpu, Hint& hint) noexcept;

    /// After the last access: ends the work on the device loop for devices that live there. Any thread.
    void close() noexcept;

    /// Whether the devices in `zone` post writes, as things are; addresses without a device do. Any thread.
    [[nodiscard]] bool posts(const CoalescedZone& zone) const noexcept;

    /// `listener` hears of bursts of single writes that the device would post: of each 256 that came with at most `pause`
    /// between them, on the average. On the thread of the vCPU. Before the guest runs.
    void on_burst(std::chrono::steady_clock::duration pause, std::function<void(const CoalescedZone&)> listener) {
        burst_pause_ = pause;
        on_burst_ = std::move(listener);
    }

    /// Every doorbell of every device.
    [[nodiscard]] std::vector<std::shared_ptr<IoEvent>> ioevents() const;

    /// Every device once, in the order of attachment.
    [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const;

    /// In the order of their addresses. The names live as long as the devices.
    [[nodiscard]] std::vector<AttachedRange> ranges() const;

    /// The name of the device at `address`, or an empty view.
    [[nodiscard]] std::string_view device_name(std::uint64_t address) const noexcept;

    /// Accesses that found no device. Any thread.
    [[nodiscard]] std::uint64_t unclaimed() const noexcept { return unclaimed_.load(std::memory_order_relaxed); }

private:
    struct DeviceSlot;
    struct Mapping;
    [[nodiscard]] const Mapping* find(std::uint64_t address) const noexcept;
    [[nodiscard]] static bool covers(const Mapping& mapping, std::uint64_t address) noexcept;
    /// Whether a device begins behind `address`, within `size` bytes.
    [[nodiscard]] bool reaches_device(std::uint64_t address, std::uint64_t size) const noexcept;
    [[nodiscard]] static bool ring(const Mapping& mapping, const Transaction& transaction) noexcept;
    /// Whether `transaction`, or each element of it, is one that the device takes as it is.
    [[nodiscard]] static bool suits(const Mapping& mapping, const Transaction& transaction) noexcept;
    [[nodiscard]] Access access_of(const Mapping& mapping, const Transaction& transaction, unsigned cpu) const noexcept;
    [[nodiscard]] awaitable<void> perform_split(Transaction& transaction, unsigned cpu);
    void written(const Mapping& mapping, const Transaction& transaction) const;
    void report_burst(const Transaction& transaction) const;
    void failed(DeviceSlot& slot, Transaction& transaction, std::exception_ptr failure, asio::cancellation_type cancelled);

    Space space_;

    asio::io_context& device_loop_;
    Log log_;
    std::chrono::steady_clock::duration burst_pause_{};
    std::function<void(const CoalescedZone&)> on_burst_;
    std::vector<std::shared_ptr<DeviceSlot>> slots_;
    std::vector<Mapping> mappings_;
    std::atomic<std::uint64_t> unclaimed_ = 0;
};

/// Where the last access of a vCPU was: the next one is likely to be there again. One for each vCPU and bus.
class Bus::Hint {
    friend class Bus;
    const Mapping* last_ = nullptr;
};

/// A device whose turn was taken for one access; try_access() says how it is used. It gives the turn back at its end.
class Bus::DeviceAccess {
public:
    DeviceAccess(const DeviceAccess&) = delete;
    DeviceAccess& operator=(const DeviceAccess&) = delete;
    ~DeviceAccess();

    explicit operator bool() const noexcept { return bus_ != nullptr; }

    /// The device's own coroutine. Once.
    [[nodiscard]] awaitable<void> answer();

    /// When the device has answered: hands a read's data to the guest.
    void finish();

    /// When the device has thrown instead: the guest reads all-ones, and the device is detached; or, if the caller was
    /// `cancelled`, throws `failure`.
    void fail(std::exception_ptr failure, asio::cancellation_type cancelled);

private:
    friend class Bus;
    DeviceAccess() = default;
    DeviceAccess(Bus& bus, const Mapping& mapping, Transaction& transaction, unsigned cpu) noexcept;

    Bus* bus_ = nullptr;
    const Mapping* mapping_ = nullptr;
    Transaction* transaction_ = nullptr;
    Access access_;
};

}  // namespace asyncvm
