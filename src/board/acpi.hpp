/// The ACPI tables of the pc machine (ACPI 6.5). Pure.
#pragma once

#include <asyncvm/bus.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace asyncvm::board {

/// A device that the DSDT names.
struct AcpiDevice {
    std::string name;                      ///< four characters at most: "COM1"
    std::string hardware_id;               ///< "PNP0501"
    std::optional<unsigned> uid{};         ///< tells devices of one kind apart
    std::vector<AddressRange> ports;       ///< each has 255 ports at most
    std::optional<unsigned> irq{};         ///< an ISA interrupt
    std::optional<AddressRange> memory{};  ///< below 4 GiB
    std::optional<unsigned> gsi{};         ///< an interrupt that is level-triggered, active high
};

/// A PCI bus with the number 0.
struct AcpiPci {
    AddressRange ecam;
    AddressRange window;           ///< where a kernel may put BARs; below 4 GiB
    std::vector<unsigned> irqs{};  ///< of slots 1, 2 and so on: the global system interrupt of INTA#
};

struct AcpiDescription {
    unsigned cpus = 1;
    bool keyboard_controller = false;  ///< an i8042 at ports 0x60 and 0x64
    bool clock = false;                ///< an RTC at ports 0x70 and 0x71
    bool reset_register = false;       ///< at pc_layout.hpp's port
    std::vector<AcpiDevice> devices{};
    std::optional<AcpiPci> pci{};
};

/// Differentiated system description table: the code that names devices and the soft-off state.
[[nodiscard]] std::vector<std::byte> make_dsdt(std::span<const AcpiDevice> devices,
                                               const std::optional<AcpiPci>& pci = std::nullopt);
/// PCI Express memory-mapped configuration table (PCI Firmware specification 3.3, 4.1.2).
[[nodiscard]] std::vector<std::byte> make_mcfg(const AcpiPci& pci);
/// Multiple APIC description table. `cpus` is most_cpus at most.
[[nodiscard]] std::vector<std::byte> make_madt(unsigned cpus);
/// Fixed ACPI description table, for the tables at these guest-physical addresses below 4 GiB.
[[nodiscard]] std::vector<std::byte> make_fadt(const AcpiDescription& description, std::uint32_t facs, std::uint32_t dsdt);

/// All tables, the RSDP first, as they lie at `address`, which is a multiple of 64 below 4 GiB.
[[nodiscard]] std::vector<std::byte> make_acpi_tables(const AcpiDescription& description, std::uint64_t address);

}  // namespace asyncvm::board
