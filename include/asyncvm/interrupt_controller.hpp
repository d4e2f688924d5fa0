/// Where a machine's interrupts go: the accelerator's part of it.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <cstdint>

namespace asyncvm {

/// A message-signalled interrupt, as a PCI device writes it (PCI Local Bus 3.0, 6.8.1).
struct MsiMessage {
    std::uint64_t address = 0;
    std::uint32_t data = 0;
};

/// The interrupt controllers of a machine, behind one interface: where the guest has programmed a PIC or an IOAPIC, or a
/// local APIC, an interrupt takes that way. The accelerator makes them before the vCPUs (Accelerator::irqchip()); the
/// machine connects lines to them. All functions may be called on any thread, also while vCPUs run. `gsi` is a global system
/// interrupt: 0 to 15 are the ISA lines, each an input of a PIC and the IOAPIC's input of the same number (but 0 is the
/// IOAPIC's input 2, as on a PC), 16 to 23 the other inputs of the IOAPIC, and 24 to 4095 what route() makes of them.
class InterruptController {
public:
    InterruptController() = default;
    InterruptController(const InterruptController&) = delete;
    InterruptController& operator=(const InterruptController&) = delete;
    virtual ~InterruptController() = default;

    /// A device may drive this line from now on: a vCPU that halts may be interrupted by it.
    virtual void connect([[maybe_unused]] unsigned gsi) noexcept {}

    /// Sets the level of an input line. One driver: who shares a line ORs the levels (IrqPin).
    virtual void set(unsigned gsi, bool level) noexcept = 0;

    /// A device may send messages from now on: a vCPU that halts may be interrupted by them.
    virtual void expect_messages() noexcept {}

    /// Delivers one message. Returns whether a vCPU took it.
    virtual bool signal(const MsiMessage& message) noexcept = 0;

    /// Raises `gsi` for a moment whenever `eventfd` is signalled, without a thread of this process. With a `resample_fd`
    /// that is not negative the line is level-triggered: it stays high until the guest acknowledges the interrupt (EOI), and
    /// `resample_fd` is signalled then. The descriptors stay the caller's, who may close them after detach_irqfd(). Throws
    /// Error(host).
    virtual void attach_irqfd(unsigned gsi, int eventfd, int resample_fd = -1) = 0;
    virtual void detach_irqfd(unsigned gsi, int eventfd) noexcept = 0;

    /// Sends `gsi`, from 24 to 4095, as `message` from now on, and leaves all other routes as they are. Throws Error(host).
    virtual void route(unsigned gsi, const MsiMessage& message) = 0;
};

}  // namespace asyncvm
