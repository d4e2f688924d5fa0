/// A PCI bus: a host bridge whose slots take functions of devices. docs/devices/pci-host.md
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/devices.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace asyncvm {

/// What a board gives to a function that it puts into a slot.
struct PciPlace {
    std::uint32_t bar = 0;  ///< where BAR 0 is after a reset, as a firmware would leave it: a multiple of its size
    unsigned irq = 0;       ///< INTA#: the interrupt line, which the guest reads at 0x3c
    std::shared_ptr<MovableRange> range{};  ///< of BAR 0; null: nobody moves it (a test)
    /// The first of `lines` lines for messages (InterruptController::route()) that are this function's alone; 0: none.
    unsigned first_line = 0;
    unsigned lines = 0;
};

/// A function of a device, with one BAR: accesses through that are those of Device. As a Device it is also subject to
/// everything that is written there.
class PciFunction : public Device {
public:
    /// Bytes of BAR 0, a power of two, 4096 at least.
    [[nodiscard]] virtual std::uint32_t bar_size() const noexcept = 0;

    /// Before attached().
    virtual void plug(PciPlace place) = 0;

    /// The configuration space: `size` is 1, 2 or 4, `offset` is a multiple of it, less than 256. One call at a time, but an
    /// access through the BAR may be under way. On the thread of the vCPU.
    [[nodiscard]] virtual awaitable<std::uint32_t> read_config(unsigned offset, unsigned size) = 0;
    [[nodiscard]] virtual awaitable<void> write_config(unsigned offset, unsigned size, std::uint32_t value) = 0;
};

/// A host bridge with bus 0, on which it is device 0 itself: configuration mechanism 1 (ports 0xcf8 to 0xcff, the reset
/// control register 0xcf9 among them) and ECAM. It is attached at 8 ports, or at pci_ecam_size bytes of memory, or both.
class PciHost : public Device {
public:
    /// Puts `function`, which is not null, into a slot, 1 to 31. Before the guest runs. Throws Error(usage) if it is taken
    /// or there is no such slot.
    virtual void add(unsigned slot, std::shared_ptr<PciFunction> function) = 0;
};

inline constexpr std::uint64_t pci_ecam_size = 1 << 20;  ///< of one bus
inline constexpr unsigned most_pci_slots = 31;           ///< besides the host bridge

/// `reset` is asked for a reset when bit 2 of the reset control register rises.
[[nodiscard]] std::shared_ptr<PciHost> make_pci_host(PlatformRequest reset);

}  // namespace asyncvm
