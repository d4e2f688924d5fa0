/// Virtio devices (Virtual I/O Device specification 1.2): what the author of one writes.
///
/// A device is a class with a coroutine for each queue; the library does the rest: feature negotiation, status, rings,
/// interrupts, notifications, reset, and what happens when the driver breaks the rules. docs/devices/README.md shows a whole
/// device.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/virtio_chain.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace asyncvm {
class BlockBackend;
class PciFunction;
}  // namespace asyncvm

namespace asyncvm::virtio {

class DeviceCore;
class Jobs;
class PollTime;
class SplitQueue;
struct QueueShape;

/// A queue that the driver has set up. A new object for each time that it does: what belongs to an old one reaches neither
/// the driver nor its memory. Device loop.
class Queue : public std::enable_shared_from_this<Queue> {
public:
    /// The library makes it.
    Queue(DeviceCore& core, unsigned index, const QueueShape& shape, std::unique_ptr<SplitQueue> ring);
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    ~Queue();

    [[nodiscard]] unsigned index() const noexcept { return index_; }
    /// How many chains the driver can have under way.
    [[nodiscard]] std::uint16_t size() const noexcept;

    /// Completes when the driver has made a chain available and the machine is not paused. Throws
    /// std::system_error(operation_aborted) when the driver resets the device: let it through.
    [[nodiscard]] awaitable<Chain> pop();

    /// The same without waiting: nothing if there is none.
    [[nodiscard]] std::optional<Chain> try_pop();

    /// Gives `chain`, which comes from this queue, back to the driver: the device has written `written` bytes from the
    /// beginning of its writable bytes. The driver is interrupted, if it wants to be, once for all chains that are given
    /// back before the device loop has done what is ready now. While the machine is paused the driver does
    /// not get it yet. No effect after a reset.
    void push(Chain chain, std::uint64_t written);

    /// The driver has sent what the device's chapter of the specification forbids and has no answer for: the device needs a
    /// reset (DEVICE_NEEDS_RESET), and this queue gives no more chains. `what` is for the log: "a request without a status
    /// byte".
    void fail(std::string_view what);

private:
    friend class DeviceCore;
    class Waiter;
    class Poller;

    void start();
    void wake();
    void get_company();
    void get_one_more();
    void publish(Chain chain, std::uint64_t written);
    void flush();
    void begin_stop();
    [[nodiscard]] bool served() const noexcept;
    [[nodiscard]] awaitable<void> poll();
    [[nodiscard]] awaitable<void> stopped();
    [[nodiscard]] static awaitable<void> serve(std::shared_ptr<Queue> self);
    [[nodiscard]] static awaitable<void> release_held(std::shared_ptr<Queue> self);

    DeviceCore& core_;
    const unsigned index_;
    const unsigned most_coroutines_;
    const std::unique_ptr<SplitQueue> ring_;
    const std::unique_ptr<Jobs> coroutines_;  ///< that serve the queue
    const std::unique_ptr<Jobs> releasing_;
    const std::unique_ptr<PollTime> poll_time_;
    bool polled_ = false;  ///< a pop() polls
    bool stopped_ = false;
    bool interrupt_owed_ = false;                        ///< flush() has been posted
    std::deque<std::shared_ptr<OneShot>> idle_;          ///< pop()s that wait
    std::vector<std::pair<Chain, std::uint64_t>> held_;  ///< given back while the machine was paused
};

/// What a device says of one of its queues.
struct QueueShape {
    std::uint16_t size = 256;  ///< the largest size that the driver may choose: a power of two, 32768 at most
    /// How many coroutines serve the queue at once, at most: more than one lets that many chains be under way. They are
    /// started when they are needed. 0: the device takes from this queue elsewhere (Device::queue()).
    unsigned coroutines = 1;
    /// It carries what the guest puts out: when the machine's run has ended, what the driver has made available by then is
    /// served first, for a tenth of a second at most.
    bool output = false;
    /// How long the device loop polls the ring for the next chain, at most, before it waits for a notification. While chains
    /// come that fast, neither the driver's notification nor a wake-up of the loop is between two of them. A queue whose
    /// chains come more slowly is not polled, and none is where the process has one processor. 0: never.
    std::chrono::microseconds polled_for{50};
};

/// A ring that the driver has set up, for a device whose rings another process serves. Addresses are guest-physical, and
/// what the driver has written: nobody has checked them.
struct RingSetup {
    unsigned queue = 0;
    std::uint16_t size = 0;  ///< descriptors
    std::uint64_t descriptors = 0;
    std::uint64_t available = 0;
    std::uint64_t used = 0;
};

/// A virtio device without its transport. All functions are called on the device loop, one at a time, or before it runs.
///
/// A device can't end the machine by an exception: when serve() throws, the log gets a line and the driver sees
/// DEVICE_NEEDS_RESET. What the driver does wrong is never an exception.
class Device {
public:
    Device() = default;
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;
    virtual ~Device() = default;

    /// "virtio-rng".
    [[nodiscard]] virtual std::string_view name() const noexcept = 0;
    /// The specification's number of this kind of device (chapter 5).
    [[nodiscard]] virtual std::uint32_t id() const noexcept = 0;
    /// The features that it offers, without those of the transport and the queues. Asked once.
    [[nodiscard]] virtual std::uint64_t features() const { return 0; }
    /// Asked once.
    [[nodiscard]] virtual std::vector<QueueShape> queues() const = 0;
    /// Of the features of the transport and the queues, those that the device does not want. Asked once.
    [[nodiscard]] virtual std::uint64_t refused_features() const { return 0; }

    /// The device configuration space, as it is now. Asked at the start, after a reset, after write_config(), restore() and
    /// config_changed().
    [[nodiscard]] virtual std::vector<std::byte> config() const { return {}; }
    /// The driver has written `bytes` there. They are inside of what config() has given.
    virtual void write_config([[maybe_unused]] std::size_t offset, [[maybe_unused]] std::span<const std::byte> bytes) {}

    /// The device has a machine. Once, before everything below.
    virtual void attached([[maybe_unused]] const DeviceContext& context) {}

    /// Serves one queue, from when the driver is ready (DRIVER_OK) until it resets the device or the queue: then what this
    /// coroutine awaits is cancelled, and the driver waits until it has ended. So it ends only when nothing of the host
    /// touches guest memory any more. `queue` lives longer than the coroutine. QueueShape::coroutines says how many run.
    [[nodiscard]] virtual awaitable<void> serve(Queue& queue) = 0;

    /// Whether another process serves the rings (vhost-user): then these five take the place of serve() and queue(). Asked
    /// once.
    [[nodiscard]] virtual bool hands_rings_over() const noexcept { return false; }
    /// The driver is ready, and `ring` may be served.
    virtual void take_ring([[maybe_unused]] const RingSetup& ring) {}
    /// The driver resets the device or the queue: completes when nobody touches the ring and its buffers any more.
    [[nodiscard]] virtual awaitable<void> return_ring([[maybe_unused]] unsigned queue) { co_return; }
    /// The eventfd that the driver's notifications of this queue signal; it lives as long as the device. -1: none.
    [[nodiscard]] virtual int notification([[maybe_unused]] unsigned queue) const noexcept { return -1; }
    /// The eventfd that whoever serves the ring signals when it has given buffers back; it lives as long as the device. The
    /// transport may connect it to the interrupt controller, and then nobody else hears it; where it does not, the device
    /// has to hear it itself, and calls interrupt(). -1: none, the device always calls that. Asked once.
    [[nodiscard]] virtual int call([[maybe_unused]] unsigned queue) const noexcept { return -1; }

    /// Work that belongs to no queue, from before the guest starts until it has ended; then it is cancelled.
    [[nodiscard]] virtual awaitable<void> run();

    /// Back to the state after power-on: the driver or the machine has reset the device, and no serve() runs any more.
    virtual void reset() {}

    /// As asyncvm::Device has them, for what a driver can notice of the device beyond status, features and queues. Chains
    /// that are under way are saved as such: pop() gives them again after a restore. The defaults are of a device without
    /// such a state.
    virtual void save(StateWriter& writer);
    virtual void restore(StateReader& reader);

protected:
    /// Whether the driver has accepted all of `features`. False before it has.
    [[nodiscard]] bool negotiated(std::uint64_t features) const noexcept;
    /// All that it has accepted, those of the transport and the queues, too. 0 before it has.
    [[nodiscard]] std::uint64_t negotiated() const noexcept;
    /// A queue that the driver has set up and that is being served, or null.
    [[nodiscard]] std::shared_ptr<Queue> queue(unsigned index) const noexcept;
    /// config() gives something else from now on: the driver is told.
    void config_changed();
    /// Who serves a ring that was handed over has given buffers back: interrupts the driver.
    void interrupt(unsigned queue);
    /// A ring that was handed over can't go on: DEVICE_NEEDS_RESET. `why` is for the log: "the back end has lost requests".
    void need_reset(std::string_view why);

private:
    friend class DeviceCore;
    DeviceCore* core_ = nullptr;
};

/// The device at a virtio-mmio transport, version 2 (specification, 4.2), which is `mmio_size` bytes of memory. `irq` is its
/// interrupt line, 0 to 23, level-triggered; nothing: it has none, and the driver polls. `device` is not null and belongs to
/// this transport alone.
[[nodiscard]] std::shared_ptr<asyncvm::Device> make_mmio(std::shared_ptr<Device> device, std::optional<unsigned> irq);
inline constexpr std::uint64_t mmio_size = 0x1000;

/// The device at a virtio-pci transport (specification, 4.1): a PCI function that interrupts by MSI-X, a vector for each
/// queue and one for the configuration, or by its line. `device` as for make_mmio(). docs/virtio.md
[[nodiscard]] std::shared_ptr<PciFunction> make_pci(std::shared_ptr<Device> device);

/// An entropy source. docs/devices/virtio-rng.md
[[nodiscard]] std::shared_ptr<Device> make_rng();

/// A memory balloon, which gives pages that the guest does not use back to the host. docs/devices/virtio-balloon.md
[[nodiscard]] std::shared_ptr<Device> make_balloon();

/// A console: what the driver sends goes to `chardev`, what `chardev` has read is what the driver receives; `chardev` is not
/// null. docs/devices/virtio-console.md
[[nodiscard]] std::shared_ptr<Device> make_console(std::shared_ptr<Chardev> chardev);

/// A stream of bytes between programs: of the guest, which find it by its name, and of the host, at `chardev`'s other end.
/// `chardev` is not null.
struct Port {
    std::string name;
    std::shared_ptr<Chardev> chardev;
};
inline constexpr std::size_t most_ports = 16;
inline constexpr std::size_t longest_port_name = 64;  ///< characters

/// A console device with these ports, of which none is a console. Throws Error(usage) if there is none, or if there are more
/// than most_ports. docs/devices/virtio-ports.md
[[nodiscard]] std::shared_ptr<Device> make_ports(std::vector<Port> ports);

/// A disk: `disk` belongs to this device alone, `serial` is what the driver reads as its ID (longest_disk_serial characters
/// at most). More than one queue is of use to guests with several vCPUs. docs/devices/virtio-blk.md
[[nodiscard]] std::shared_ptr<Device> make_blk(std::shared_ptr<BlockBackend> disk, const std::string& serial,
                                               unsigned queues = 1);

}  // namespace asyncvm::virtio
