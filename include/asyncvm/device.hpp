/// What the author of a device writes.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/asio.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace asyncvm {

class DeviceSlot;
class StateReader;
class StateWriter;
struct DeviceContext;

/// Where the accesses to a device run.
enum class Affinity {
    in_place,     ///< on the thread of the vCPU that makes the access: no thread switch
    device_loop,  ///< on the device loop, as run() does: all of the device's code is single-threaded, at the price of a hop
};

/// A write that only notifies: the device need not know more than that it came.
struct Doorbell {
    std::uint64_t offset = 0;
    std::uint8_t size = 2;                ///< bytes: 1, 2, 4, and in memory also 8; other sizes are ordinary writes
    std::optional<std::uint64_t> data{};  ///< only this value rings; others are ordinary writes
    /// Not -1: an eventfd of the device, which lives as long as the device does. It is signalled, and rung() is not called:
    /// somebody else waits for it, in another process perhaps.
    int eventfd = -1;
};

/// A device on a port range or a memory range. Each access is a coroutine: it may co_await whatever it likes before it
/// answers, and only the vCPU that made the access waits.
///
/// write() and read() are called for one access at a time, whatever the number of vCPUs, ranges and buses: a second access
/// waits until the first has been answered (unless the device is concurrent()). A device without run() therefore needs no
/// lock. State that run() shares with accesses in place sits behind a mutex that is never held across a co_await. A device
/// belongs to one machine.
///
/// A device can't end the machine by an exception. When an access, rung() or run() throws, the device is reported once and
/// detached: from then on its reads give all-ones, its writes vanish and its doorbells are not answered.
/// std::system_error(operation_aborted), which a cancelled co_await throws, should be let through. What a device throws
/// while it is being attached comes out of Bus::attach().
class Device {
public:
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    virtual ~Device() = default;

    /// Short and in the field's words: "uart16550", "counter". Shown in messages and reports.
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;

    /// The device has a machine: its clock, interrupt lines, memory. Once, before the first access and before run(), on the
    /// thread that attaches it. `context` may be copied; what it refers to outlives the device's work.
    virtual void attached([[maybe_unused]] const DeviceContext& context) {}

    /// Asked once, when the device is attached to a bus.
    [[nodiscard]] virtual Affinity affinity() const noexcept { return Affinity::in_place; }

    /// Whether several accesses may be with the device at once, one for each vCPU, so that one that waits keeps no other
    /// vCPU waiting. For a device in place, whose state sits behind a mutex of its own. Each vCPU still has its accesses in
    /// order, a string is one call, and posted writes come one after the other; but nothing orders what two vCPUs ask for.
    /// reset() still waits until no access is under way. On the device loop it has no effect. Asked once, when the device is
    /// attached to a bus.
    [[nodiscard]] virtual bool concurrent() const noexcept { return false; }

    /// The widest access that the device understands: 1, 2, 4 or 8 bytes. The bus splits wider ones, lowest address first.
    /// Asked once, when the device is attached to a bus.
    [[nodiscard]] virtual unsigned max_access_size() const noexcept { return 8; }

    /// The guest has written access.data. `access` lives until the coroutine ends.
    [[nodiscard]] virtual awaitable<void> write(const Access& access) = 0;

    /// The guest reads: fill access.data. Left alone it reads as 0. `access` lives until the coroutine ends.
    [[nodiscard]] virtual awaitable<void> read(Access& access) = 0;

    /// REP OUTS: `data` holds consecutive elements of `first.size` bytes for the same address. The default calls write()
    /// for each. KVM may deliver a string in one piece or in many.
    [[nodiscard]] virtual awaitable<void> write_string(const Access& first, std::span<const std::byte> data);

    /// REP INS: fill `data` with consecutive elements of `first.size` bytes. The default calls read() for each.
    [[nodiscard]] virtual awaitable<void> read_string(const Access& first, std::span<std::byte> data);

    /// Whether writes at `offset` need no answer, as things are: when the guest writes there in a burst, KVM may then
    /// collect them, and write() or write_string() gets them later, in order, before anything else that the guest asks for,
    /// and at most a few milliseconds later (docs/posted-writes.md). The vCPU in the Access is then always 0, and the thread
    /// may be the device loop's. Asked now and then, on any thread. A write that would have to wait is better not posted:
    /// its wait would keep all vCPUs that need an answer waiting.
    [[nodiscard]] virtual bool posts([[maybe_unused]] std::uint64_t offset) const noexcept { return false; }

    /// Writes that only notify. Where KVM can (ioeventfd) they do not stop the vCPU; elsewhere the bus takes them for the
    /// device. Asked for each range that is attached.
    [[nodiscard]] virtual std::vector<Doorbell> doorbells() const { return {}; }

    /// The doorbell at `index` of doorbells() has been rung, once or more often, since the last call. Device loop, whatever
    /// the affinity; one call at a time for each doorbell, but an access may be under way. What the guest has posted before
    /// has been delivered.
    [[nodiscard]] virtual awaitable<void> rung(std::size_t index);

    /// Background work on the device loop, from before the guest starts until it has ended; then it is cancelled. It may end
    /// earlier: the default ends at once.
    [[nodiscard]] virtual awaitable<void> run();

    /// Ends what the device has under way outside of accesses and what may still reach the guest's memory, before reset() is
    /// called: completes when none of it can any more. As reset() otherwise. The default ends at once.
    [[nodiscard]] virtual awaitable<void> before_reset();

    /// Back to the state after power-on. Called while no access is under way and run() waits, on the device loop.
    virtual void reset() {}

    /// Writes what the guest could tell this device from a new one by, as one object with the name() (save_state() in
    /// <asyncvm/state.hpp>). Called as reset() is. The default throws Error(usage): the device can't be saved. A device
    /// without state writes an object without fields.
    virtual void save(StateWriter& writer);

    /// Reads what save() has written, into a device that has been made alike and attached. Called as reset() is. Throws
    /// Error(usage) that names the field for what does not fit; the device is as before then.
    virtual void restore(StateReader& reader);

private:
    friend class DeviceSlots;
    std::weak_ptr<DeviceSlot> slot_;  ///< what the machine that has the device keeps of it
};

}  // namespace asyncvm
