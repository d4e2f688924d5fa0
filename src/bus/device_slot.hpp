/// What a machine keeps of each of its devices, on however many buses and ranges it is.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/log.hpp>

#include "async/async_mutex.hpp"

#include <atomic>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

class DeviceLoopDispatcher;

/// A device, and what keeps its accesses apart.
class DeviceSlot {
public:
    DeviceSlot(std::shared_ptr<Device> device, asio::io_context& device_loop, Log log);
    DeviceSlot(const DeviceSlot&) = delete;
    DeviceSlot& operator=(const DeviceSlot&) = delete;
    ~DeviceSlot();

    const std::shared_ptr<Device> device;
    const unsigned max_size;  ///< bytes of the widest access: 1, 2, 4 or 8
    AsyncMutex mutex;         ///< an access holds it from before the device sees it until it is answered; see concurrent
    /// Accesses do without the mutex, which is closed: who finds a free one need not ask.
    const bool concurrent;
    const std::shared_ptr<DeviceLoopDispatcher> dispatcher;  ///< null for a device that answers in place

    /// Whether the device has failed: it is treated as absent. Any thread.
    [[nodiscard]] bool detached() const noexcept { return detached_.load(std::memory_order_relaxed); }

    /// The device has thrown `failure`. Throws it on if the coroutine that called the device was `cancelled`; everything
    /// else is the device's fault: it is detached, and the first time the log is told. `where` is for "device NAME failed
    /// WHERE and is detached". Any thread.
    void failed(std::exception_ptr failure, asio::cancellation_type cancelled, std::string_view where);

    /// Device::run(). If it throws, the device is detached. The coroutine keeps `slot` alive.
    [[nodiscard]] static awaitable<void> run(std::shared_ptr<DeviceSlot> slot);

    /// Device::rung(`index`), if the device is not detached; it is if it throws. `where` as for failed().
    [[nodiscard]] static awaitable<void> rung(std::shared_ptr<DeviceSlot> slot, std::size_t index, std::string where);

private:
    const Log log_;
    std::atomic<bool> detached_ = false;
};

/// The devices of one machine. A device has one slot, whatever is attached where.
class DeviceSlots {
public:
    /// Devices with Affinity::device_loop are called on `device_loop`. `log` is told of devices that fail.
    DeviceSlots(asio::io_context& device_loop, Log log);
    DeviceSlots(const DeviceSlots&) = delete;
    DeviceSlots& operator=(const DeviceSlots&) = delete;
    ~DeviceSlots();

    /// The slot of `device`, made if there is none. Throws Error(usage) if another machine has the device, and Error(host)
    /// if the process has no descriptor left.
    [[nodiscard]] std::shared_ptr<DeviceSlot> of(const std::shared_ptr<Device>& device) const;

    /// The machine has the device of `slot`, which comes from of(), from now on.
    void keep(const std::shared_ptr<DeviceSlot>& slot);

    /// In the order of attachment.
    [[nodiscard]] const std::vector<std::shared_ptr<DeviceSlot>>& all() const noexcept { return slots_; }
    [[nodiscard]] asio::io_context& device_loop() const noexcept { return device_loop_; }

    /// After the last access: ends the work on the device loop for devices that live there. From now on another machine may
    /// have the devices. The thread that attaches.
    void close() noexcept;

private:
    asio::io_context& device_loop_;
    const Log log_;
    std::vector<std::shared_ptr<DeviceSlot>> slots_;
};

// x86 is little-endian, guest and host alike: the data's bytes are the access's low bytes. A size that the compiler knows
// makes a copy one instruction instead of a call.

/// What the device has answered to a single read, to the guest.
inline void store_data(const Access& access, Transaction& transaction) noexcept {
    std::byte* const to = transaction.data.data();
    switch (access.size) {
        case 1:
            std::memcpy(to, &access.data, 1);
            break;
        case 2:
            std::memcpy(to, &access.data, 2);
            break;
        case 4:
            std::memcpy(to, &access.data, 4);
            break;
        default:
            std::memcpy(to, &access.data, access.size);
            break;
    }
}

/// What the guest writes in a single write, to the access.
inline void load_data(Access& access, const Transaction& transaction) noexcept {
    const std::byte* const from = transaction.data.data();
    switch (access.size) {
        case 1:
            access.data = std::to_integer<std::uint8_t>(*from);
            break;
        case 2:
            std::memcpy(&access.data, from, 2);
            break;
        case 4:
            std::memcpy(&access.data, from, 4);
            break;
        default:
            std::memcpy(&access.data, from, access.size);
            break;
    }
}

/// The device's own coroutine for a transaction: a single access or a string. `access` has everything but its data. After a
/// single read store_data() is due.
[[nodiscard]] inline awaitable<void> answer(Device& device, Access& access, Transaction& transaction) {
    const bool read = transaction.direction == Direction::read;
    if (transaction.data.size() != access.size) [[unlikely]]
        return read ? device.read_string(access, transaction.data) : device.write_string(access, transaction.data);
    if (read) return device.read(access);
    load_data(access, transaction);
    return device.write(access);
}

}  // namespace asyncvm
