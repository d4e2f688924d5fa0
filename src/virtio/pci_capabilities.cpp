#include "virtio/pci_capabilities.hpp"

#include <array>
#include <cstddef>
#include <vector>

#include "virtio/pci_registers.hpp"

namespace asyncvm::virtio {

namespace {

using pci::ConfigSpace;

constexpr std::uint16_t red_hat = 0x1af4, first_device = 0x1040, subsystem = 0x1100;
constexpr std::uint8_t modern_revision = 1;
constexpr std::uint8_t vendor_capability = 0x09, msix_capability = 0x11;

// Kinds of virtio capabilities (4.1.4).
constexpr std::uint8_t common_kind = 1, notify_kind = 2, isr_kind = 3, config_kind = 4, window_kind = 5;

/// What tools show of a device before it has a driver: class, subclass, interface. Drivers do not look at it.
std::uint32_t class_of(std::uint32_t device) noexcept {
    constexpr std::uint32_t network = 1, block = 2, console = 3, sockets = 19, file_system = 26;
    switch (device) {
        case network:
            return 0x02'0000;
        case block:
            return 0x01'0000;
        case console:
            return 0x07'8000;
        case sockets:
            return 0x02'8000;
        case file_system:
            return 0x01'8000;
        default:
            return 0xff'0000;
    }
}

void append(std::vector<std::byte>& to, std::uint32_t value, unsigned bytes) {
    for (unsigned byte = 0; byte < bytes; ++byte) to.push_back(static_cast<std::byte>(value >> (8 * byte)));
}

/// What follows the ID and the pointer: length, kind, BAR, ID, 2 bytes of padding, offset, length.
std::vector<std::byte> body_of(std::uint8_t kind, std::uint32_t offset, std::uint32_t length, unsigned more = 0) {
    constexpr unsigned header = 16;
    std::vector<std::byte> body;
    append(body, header + more, 1);
    append(body, kind, 1);
    append(body, 0, 4);
    append(body, offset, 4);
    append(body, length, 4);
    return body;
}

/// The window on the BAR for those who reach only the configuration space: the driver chooses BAR, offset and length.
constexpr unsigned window = 0x4c;
constexpr unsigned window_bar = window + 4, window_offset = window + 8, window_length = window + 12;
static_assert(PciCapabilities::window_data == window + 16);

void add_window(ConfigSpace& space) {
    std::vector<std::byte> body = body_of(window_kind, 0, 0, 4);
    append(body, 0, 4);
    std::vector<std::byte> writable;
    append(writable, 0, 2);
    append(writable, 0xff, 4);
    for (int field = 0; field < 3; ++field) append(writable, ~std::uint32_t{0}, 4);
    static_cast<void>(space.add_capability(vendor_capability, body, writable));
}

}  // namespace

pci::ConfigSpace PciCapabilities::make_space(const Function& function) {
    using R = PciRegisters;
    ConfigSpace space({.vendor = red_hat,
                       .device = static_cast<std::uint16_t>(first_device + function.device),
                       .revision = modern_revision,
                       .class_code = class_of(function.device),
                       .subsystem_vendor = red_hat,
                       .subsystem = subsystem});
    space.add_memory_bar(0, R::bar_size);
    space.add_interrupt(static_cast<std::uint8_t>(function.irq));

    std::vector<std::byte> msix;
    append(msix, function.vectors - 1, 2);
    append(msix, R::msix_table, 4);  // the low bits name BAR 0
    append(msix, R::msix_pending, 4);
    constexpr std::array writable{std::byte{0}, std::byte{0xc0}};
    static_cast<void>(space.add_capability(msix_capability, msix, writable));
    add_window(space);
    static_cast<void>(space.add_capability(vendor_capability, body_of(common_kind, R::common, R::common_size)));
    std::vector<std::byte> notify = body_of(notify_kind, R::notify, function.queues * R::notify_multiplier, 4);
    append(notify, R::notify_multiplier, 4);
    static_cast<void>(space.add_capability(vendor_capability, notify));
    static_cast<void>(space.add_capability(vendor_capability, body_of(isr_kind, R::isr, 4)));
    if (function.has_config) {
        static_cast<void>(space.add_capability(vendor_capability, body_of(config_kind, R::config, R::part_size)));
    }
    // As a firmware leaves it: small guests assign no addresses.
    space.set(ConfigSpace::first_bar, 4, function.bar);
    space.set(ConfigSpace::command, 2, ConfigSpace::memory_space | ConfigSpace::bus_master);
    return space;
}

std::optional<PciCapabilities::Window> PciCapabilities::window(const pci::ConfigSpace& space) noexcept {
    const std::uint32_t offset = space.read(window_offset, 4), size = space.read(window_length, 4);
    const bool right_size = size == 1 || size == 2 || size == 4;
    if (space.read(window_bar, 1) != 0 || !right_size || offset % size != 0) return std::nullopt;
    if (offset >= PciRegisters::bar_size) return std::nullopt;
    return Window{.offset = offset, .size = size};
}

}  // namespace asyncvm::virtio
