/// Boards. The pc machine: what it is made of, the devices that belong to it, and the tables that tell a kernel of them.
///
///     const asyncvm::PcDescription pc{.ram_size = 256 << 20, .cpus = 2, .serial_ports = 1};
///     asyncvm::add_pc_devices(host, pc);                  // on the buses of a Machine whose KvmOptions have irqchip and
///     pit asyncvm::add_serial_port(host, 0, chardev); boot.plan(asyncvm::pc_surroundings(pc));            // an
///     asyncvm::Boot: the tables become part of the guest's memory
///
/// docs/pc-machine.md has all addresses, ports and interrupts.
#pragma once

#include <asyncvm/boot.hpp>
#include <asyncvm/devices.hpp>
#include <asyncvm/memory_map.hpp>
#include <asyncvm/pci.hpp>
#include <asyncvm/virtio.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace asyncvm {

/// How a machine's virtio devices are reached. docs/virtio.md
enum class VirtioTransport : std::uint8_t {
    mmio,  ///< each has a page at a place of its own
    pci,   ///< functions on a PCI bus
};

/// Devices, tables and memory map all follow from this one description, so that they can't disagree.
struct PcDescription {
    std::uint64_t ram_size = 128 << 20;  ///< bytes, 1 MiB at least: as the machine's memory
    unsigned cpus = 1;                   ///< 1 to 255, with the APIC IDs 0 to cpus - 1
    unsigned serial_ports = 1;           ///< 0 to 4: the tables name COM1 and so on; add_serial_port() attaches them
    /// Devices of the machine that are left out, by the names that `--device` has: "rtc", "i8042". The tables then say that
    /// they are not there. A name that no device of the machine has is no error.
    std::vector<std::string> without{};
    /// Whether ACPI names the keyboard controller, on whose keyboard nobody types. Without it Linux leaves the controller
    /// alone, which saves it about a hundred accesses; kernels that do not ask ACPI find it all the same.
    bool announce_keyboard = false;
    /// 0 to most_virtio_devices, with `pci` to most_pci_slots: the tables name that many, from slot 0 on;
    /// add_virtio_device() or add_pci_virtio_device() attaches them.
    unsigned virtio_devices = 0;
    /// With `pci` the machine has a PCI bus, which add_pci_host() attaches, also without a device.
    VirtioTransport virtio_transport = VirtioTransport::mmio;
    bool acpi = true;
    bool mp_table = true;
};

inline constexpr unsigned most_virtio_devices = 32;

/// Where a machine, pc or flat, has its virtio device number `slot`, which is less than most_virtio_devices.
struct VirtioPlace {
    AddressRange memory;
    unsigned irq;  ///< its GSI: an input of the IOAPIC that no ISA interrupt has
};
[[nodiscard]] constexpr VirtioPlace virtio_place(unsigned slot) noexcept {
    return {.memory = {.first = 0xfeb0'0000 + slot * virtio::mmio_size, .size = virtio::mmio_size}, .irq = 16 + slot % 8};
}

/// Where the PCI bus of a machine, pc or flat, is in memory, and where the function in slot `slot`, 1 to most_pci_slots, has
/// its BAR and its interrupt at the start.
inline constexpr AddressRange pci_window{.first = 0xc000'0000, .size = 0x2000'0000};
inline constexpr AddressRange pci_ecam{.first = 0xe000'0000, .size = pci_ecam_size};
struct PciSlot {
    std::uint32_t bar;
    unsigned irq;  ///< a GSI that is also an ISA interrupt, so that it has the same number for all interrupt controllers
};
[[nodiscard]] constexpr PciSlot pci_slot(unsigned slot) noexcept {
    constexpr std::uint32_t room = 0x10'0000;
    return {.bar = static_cast<std::uint32_t>(pci_window.first) + (slot - 1) * room, .irq = 10 + slot % 2};
}

/// What the flat machine tells a guest that asks: its RAM, and no tables. `ram_size` in bytes. Pure.
[[nodiscard]] BootSurroundings flat_surroundings(std::uint64_t ram_size, unsigned cpus);

/// What RAM of `ram_size` bytes looks like to a guest of the pc machine: by address, without overlaps. Throws Error(usage)
/// if it is less than 1 MiB. Pure.
[[nodiscard]] std::vector<MemoryRange> pc_memory_map(std::uint64_t ram_size);

/// The memory map, the tables and where they begin, for Boot::plan(). Throws Error(usage) that names the member that is out
/// of its range. Pure.
[[nodiscard]] BootSurroundings pc_surroundings(const PcDescription& description);

/// Attaches what a pc machine has besides its serial ports, before the guest runs, on the thread of the machine. Throws as
/// add_device() and pc_surroundings().
void add_pc_devices(const DeviceHost& host, const PcDescription& description);

/// Attaches `device`, which is not null, at its place as virtio-mmio. Throws Error(usage) if there is no such slot or
/// another device is there.
void add_virtio_device(const DeviceHost& host, unsigned slot, std::shared_ptr<virtio::Device> device);

/// Attaches a PCI host bridge: ports 0xcf8 to 0xcff and ECAM. Throws Error(usage) if another device is there.
[[nodiscard]] std::shared_ptr<PciHost> add_pci_host(const DeviceHost& host);

/// Attaches `device`, which is not null, as virtio-pci: the function in slot `slot`, 1 to most_pci_slots. Throws as
/// PciHost::add().
void add_pci_virtio_device(const DeviceHost& host, PciHost& pci, unsigned slot, std::shared_ptr<virtio::Device> device);

}  // namespace asyncvm
