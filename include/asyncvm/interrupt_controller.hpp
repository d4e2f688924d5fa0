/// Where a machine's interrupts go: the accelerator's part of it.
#pragma once

#include <cstdint>

namespace asyncvm {

/// A message-signalled interrupt, as a PCI device writes it (PCI Local Bus 3.0, 6.8.1).
struct MsiMessage {
    std::uint64_t address = 0;
    std::uint32_t data = 0;
};

/// The interrupt controller of a machine. The accelerator makes it before the vCPUs; the machine connects lines to it.
/// All functions may be called on any thread, also while vCPUs run. `gsi` is a global system interrupt: 0 to 15 are the ISA
/// lines, 16 to 23 the other inputs of the IOAPIC.
class InterruptController {
public:
    InterruptController() = default;
    InterruptController(const InterruptController&) = delete;
    InterruptController& operator=(const InterruptController&) = delete;
    virtual ~InterruptController() = default;

    /// Sets the level of an input line.
    virtual void set(unsigned gsi, bool level) noexcept = 0;

    /// Delivers one message. Returns whether a vCPU took it.
    virtual bool signal(const MsiMessage& message) noexcept = 0;

    /// Raises `gsi` whenever `eventfd` is signalled. With a `resample_fd` that is not negative the line is level-triggered: it
    /// stays high until the guest acknowledges it, and `resample_fd` is signalled then. Throws Error(host).
    virtual void attach_irqfd(unsigned gsi, int eventfd, int resample_fd = -1) = 0;
    virtual void detach_irqfd(unsigned gsi, int eventfd) noexcept = 0;

    /// Sends `gsi`, 24 or higher, as `message` from now on. Throws Error(host).
    virtual void route(unsigned gsi, const MsiMessage& message) = 0;
};

}  // namespace asyncvm
