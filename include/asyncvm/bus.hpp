/// One address space of a machine, and the devices in it.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/device.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

namespace asyncvm {

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

/// An address where the guest has found no device.
struct UnclaimedAddress {
    std::uint64_t address = 0;
    std::uint64_t reads = 0;
    std::uint64_t writes = 0;
};

/// A range of a bus that is somewhere else, or nowhere, when the guest says so.
class MovableRange {
public:
    MovableRange() = default;
    MovableRange(const MovableRange&) = delete;
    MovableRange& operator=(const MovableRange&) = delete;
    virtual ~MovableRange() = default;

    /// The range begins there from now on; nothing: no address is the device's. Accesses that are under way are the
    /// device's still. Where KVM rings the doorbells it takes some milliseconds. Any thread, one call at a time.
    virtual void move(std::optional<std::uint64_t> first) noexcept = 0;
};

/// Ports or memory, and the devices there: Machine::ports() and Machine::mmio(). What no device has reads all-ones, and
/// writes there vanish.
class Bus {
public:
    Bus() = default;
    Bus(const Bus&) = delete;
    Bus& operator=(const Bus&) = delete;
    virtual ~Bus() = default;

    /// Before the guest runs, on the thread of the machine. Ranges of one bus may not overlap. A device may have several, on
    /// both buses of its machine. Throws Error(usage) that names both devices where ranges overlap, Error(usage) if another
    /// machine has the device, and what the device throws when it is asked; the bus is as before then.
    virtual void attach(AddressRange range, std::shared_ptr<Device> device) = 0;

    /// As attach(), for a range of `size` bytes that is nowhere until it is moved. Where it overlaps RAM, the range of
    /// attach() or a movable range that was attached before, the address is theirs. The result outlives the bus, without
    /// effect then.
    [[nodiscard]] virtual std::shared_ptr<MovableRange> attach_movable(std::uint64_t size,
                                                                       std::shared_ptr<Device> device) = 0;

    /// Every device once, in the order of attachment.
    [[nodiscard]] virtual std::vector<std::shared_ptr<Device>> devices() const = 0;

    /// In the order of their addresses, movable ones as they are now. The names live as long as the devices.
    [[nodiscard]] virtual std::vector<AttachedRange> ranges() const = 0;

    /// The name of the device at `address`, or an empty view. Any thread while the guest runs.
    [[nodiscard]] virtual std::string_view device_name(std::uint64_t address) const noexcept = 0;

    /// Accesses that found no device. Any thread.
    [[nodiscard]] virtual std::uint64_t unclaimed() const noexcept = 0;

    /// Where they were: the 16 addresses that came first. Any thread.
    [[nodiscard]] virtual std::vector<UnclaimedAddress> unclaimed_addresses() const = 0;
};

}  // namespace asyncvm
