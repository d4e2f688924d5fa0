/// Watching a machine: statistics, traces and recorders are observers.
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/exit.hpp>
#include <asyncvm/interrupt_controller.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace asyncvm {

/// What a machine consists of when its run begins.
struct MachineLayout {
    unsigned cpus = 1;
    std::vector<AttachedRange> ports;
    std::vector<AttachedRange> mmio;
    /// Whose device_name() tells where an address leads now. For hooks, until run_ended().
    const Bus* port_bus = nullptr;
    const Bus* mmio_bus = nullptr;
};

enum class ChardevEvent : std::uint8_t {
    connected,     ///< a client has come, or the server has answered
    disconnected,  ///< it has left
};

/// What has stopped the guest for its debugger.
struct DebuggerStop {
    std::string_view why;           ///< "breakpoint", "step" and so on; "asked for": nothing in the guest has
    std::optional<unsigned> cpu{};  ///< whose stop it is; nothing: asked for
    std::uint64_t address = 0;      ///< of the breakpoint, or of what is watched; 0: of neither
};

/// Gets calls from a machine (MachineConfig::observers) and from chardevs (ChardevEnvironment::observer). Every function has
/// an empty default. All of them are called where the thing happens, between two steps of it: they must be quick, must not
/// throw, must not wait and must not call the machine. A vCPU's calls come in order, on the vCPU's thread:
///
///     entering, exited, [suspended, resumed]..., answered, entering, ..., cpu_ended
///
/// Calls of several threads may overlap. The machine keeps its observers as long as it lives. A machine without observers
/// pays one branch an exit.
class Observer {
public:
    Observer() = default;
    Observer(const Observer&) = delete;
    Observer& operator=(const Observer&) = delete;
    virtual ~Observer() = default;

    /// Before the first vCPU starts. Device loop.
    virtual void run_begins(const MachineLayout& /*layout*/) noexcept {}
    /// No vCPU runs any more, and what the guest has posted is delivered. Device loop.
    virtual void run_ended() noexcept {}

    /// The guest is about to be entered. vCPU's thread, like the following six.
    virtual void entering(unsigned /*cpu*/) noexcept {}
    /// It has exited. An access begins here; no device has seen it yet. `rip` is Cpu::exit_rip().
    virtual void exited(unsigned /*cpu*/, const Exit& /*exit*/, std::uint64_t /*rip*/) noexcept {}
    /// The access waits for something: its coroutine is suspended.
    virtual void suspended(unsigned /*cpu*/) noexcept {}
    /// It goes on. It may suspend again.
    virtual void resumed(unsigned /*cpu*/) noexcept {}
    /// It has been answered. A read's data is what the guest gets.
    virtual void answered(unsigned /*cpu*/, const Transaction& /*transaction*/) noexcept {}
    /// The vCPU is not entered again, unless the machine is reset. An access that was not answered has been dropped.
    virtual void cpu_ended(unsigned /*cpu*/) noexcept {}

    /// Posted writes to one address are about to be delivered: a string, if there are several. Any thread.
    virtual void posted(const Transaction& /*writes*/) noexcept {}
    /// The level of an interrupt line has changed. Interrupts of an irqfd don't pass here. Any thread.
    virtual void interrupt(unsigned /*gsi*/, bool /*level*/) noexcept {}
    /// A device sends a message (MSI). Those that an irqfd delivers don't pass here. Any thread.
    virtual void message(const MsiMessage& /*message*/) noexcept {}

    /// Nothing moves. Executor of the coroutine that paused.
    virtual void paused() noexcept {}
    /// The guest goes on. Any thread.
    virtual void unpaused() noexcept {}
    /// Devices and vCPUs are as at the start; still in the pause. Executor of the coroutine that reset.
    virtual void was_reset() noexcept {}

    /// `label` is the chardev's (ChardevEnvironment::label). Files and the null device have no events. Device loop.
    virtual void chardev(std::string_view /*label*/, ChardevEvent /*event*/) noexcept {}
    /// It has taken `bytes` of the guest's output (Direction::write), or given the guest input. Any thread.
    virtual void chardev_moved(std::string_view /*label*/, Direction /*direction*/, std::size_t /*bytes*/) noexcept {}
    /// It takes no more output, or does again. Any thread, with the chardev's mutex held.
    virtual void chardev_full(std::string_view /*label*/, bool /*full*/) noexcept {}
    /// It goes on at `to` (Chardev::description()): change_chardev() is about to complete. Device loop.
    virtual void chardev_changed(std::string_view /*label*/, std::string_view /*to*/) noexcept {}

    /// A device that lives on the device loop has an access, or has answered it. One at a time of each device. Device loop.
    virtual void loop_access(std::string_view /*device*/, bool /*begins*/) noexcept {}
    /// The guest has rung a doorbell of a device, `times` times since the last call. Device loop.
    virtual void doorbell(std::string_view /*device*/, std::uint64_t /*times*/) noexcept {}
    /// A device has something to say that is rare (DeviceContext::tell). Any thread.
    virtual void device_tells(std::string_view /*device*/, std::string_view /*what*/) noexcept {}

    // What a program that has disks and a debugger tells.

    /// A disk is in another image, which has `size` bytes. Device loop, like the following three.
    virtual void disk_changed(std::string_view /*disk*/, std::string_view /*image*/, std::uint64_t /*size*/) noexcept {}
    /// It has `size` bytes now.
    virtual void disk_resized(std::string_view /*disk*/, std::uint64_t /*size*/) noexcept {}
    /// The machine stands, for its debugger.
    virtual void debugger_stopped(const DebuggerStop& /*stop*/) noexcept {}
    /// The debugger lets it go on.
    virtual void debugger_goes_on() noexcept {}
};

}  // namespace asyncvm
