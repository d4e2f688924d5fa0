#include "board/pc_board.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "board/mp_table.hpp"
#include "board/pc_layout.hpp"
#include "board/table_bytes.hpp"
#include "devices/catalogue.hpp"
#include "devices/device_kind.hpp"

namespace asyncvm::board {

namespace {

constexpr std::array power_ports{AddressRange{.first = 0xb004, .whole = true}, AddressRange{.first = 0x4004, .whole = true}};

/// The interrupt controllers and the PIT are the accelerator's, serial ports are com_ports.
constexpr std::array rows{
    // A PC's own devices.
    Row{.kind = "acpi-pm", .irq = sci},
    Row{.kind = "pci-config"},
    Row{.kind = "port92"},
    Row{.kind = "port61"},
    Row{.kind = "i8042", .irq = 1, .acpi_name = "KBD", .hardware_id = "PNP0303"},
    Row{.kind = "rtc",
        .irq = 8,
        .acpi_name = "RTC",
        .hardware_id = "PNP0B00",
        .make = [](const PcDescription& pc) { return make_rtc(pc.cpus); }},
    Row{.kind = "crtc"},
    // Those of QEMU.
    Row{.kind = "fw_cfg",
        .make =
            [](const PcDescription& pc) {
                std::vector<FwCfgFile> files{fw_cfg_memory_map(pc_memory_map(pc.ram_size))};
                if (pc.serial_ports > 0) {
                    files.push_back(fw_cfg_serial_console(static_cast<std::uint16_t>(com_ports.front().ports.first)));
                }
                return make_fw_cfg(pc.cpus, std::move(files));
            }},
    Row{.kind = "pvpanic", .acpi_name = "PEVT", .hardware_id = "QEMU0001"},
    // Those of the flat machine.
    Row{.kind = "counter"},
    Row{.kind = "debugcon"},
    Row{.kind = "exit"},
    Row{.kind = "post"},
    Row{.kind = "sleep"},
    // Its other places are ACPI's registers here.
    Row{.kind = "power", .ports = power_ports},
};

bool has_pci(const PcDescription& description) noexcept { return description.virtio_transport == VirtioTransport::pci; }

/// The interrupts of the slots that have a device.
std::vector<unsigned> pci_irqs(const PcDescription& description) {
    std::vector<unsigned> irqs;
    if (!has_pci(description)) return irqs;
    for (unsigned slot = 1; slot <= description.virtio_devices; ++slot) irqs.push_back(pci_slot(slot).irq);
    return irqs;
}

void check(const PcDescription& description) {
    const auto refuse = [](std::string_view what, unsigned value, unsigned first, unsigned last) {
        throw Error(ErrorKind::usage, fmt::format("a pc machine has {} to {} {}, not {}", first, last, what, value));
    };
    if (description.cpus < 1 || description.cpus > most_cpus) refuse("CPUs", description.cpus, 1, most_cpus);
    if (description.serial_ports > com_ports.size()) {
        refuse("serial ports", description.serial_ports, 0, static_cast<unsigned>(com_ports.size()));
    }
    const unsigned most = has_pci(description) ? most_pci_slots : most_virtio_devices;
    if (description.virtio_devices > most) refuse("virtio devices", description.virtio_devices, 0, most);
}

/// What a BIOS leaves behind: the serial ports, the equipment word with their number, and the size of conventional memory in
/// KiB.
BootTable bios_data(const PcDescription& description) {
    constexpr unsigned math_coprocessor = 1 << 1, serial_ports_shift = 9;
    TableBytes bytes;
    for (unsigned index = 0; index < com_ports.size(); ++index) {
        bytes.u16(index < description.serial_ports ? static_cast<std::uint16_t>(com_ports[index].ports.first) : 0);
    }
    bytes.zeros(6).u16(static_cast<std::uint16_t>(ebda >> 4));
    bytes.u16(static_cast<std::uint16_t>(math_coprocessor | description.serial_ports << serial_ports_shift)).u8(0);
    bytes.u16(static_cast<std::uint16_t>(ebda >> 10));
    return {.name = "BIOS data area", .address = bios_data_area, .bytes = bytes.bytes()};
}

/// Its first byte is its size in KiB.
BootTable extended_bios_data() {
    TableBytes bytes;
    bytes.u8(static_cast<std::uint8_t>(ebda_size >> 10));
    return {.name = "extended BIOS data area", .address = ebda, .bytes = bytes.bytes()};
}

}  // namespace

std::span<const Row> pc_rows() noexcept { return rows; }

std::span<const AddressRange> ports_of(const Row& row) {
    return row.ports.empty() ? device_kind(row.kind).ports : row.ports;
}

bool has_device(const PcDescription& description, std::string_view kind) noexcept {
    return std::ranges::find(rows, kind, &Row::kind) != rows.end() &&
           std::ranges::find(description.without, kind) == description.without.end();
}

AcpiDescription describe(const PcDescription& description) {
    check(description);
    AcpiDescription tables;
    tables.cpus = description.cpus;
    tables.keyboard_controller = description.announce_keyboard && has_device(description, "i8042");
    tables.clock = has_device(description, "rtc");
    tables.reset_register = has_device(description, "pci-config");
    for (unsigned index = 0; index < description.serial_ports; ++index) {
        const ComPort& port = com_ports[index];
        tables.devices.push_back({.name = fmt::format("COM{}", index + 1),
                                  .hardware_id = "PNP0501",
                                  .uid = index + 1,
                                  .ports = {port.ports},
                                  .irq = port.irq});
    }
    for (const Row& row : rows) {
        if (row.acpi_name.empty() || !has_device(description, row.kind)) continue;
        if (row.kind == "i8042" && !tables.keyboard_controller) continue;
        const auto ports = ports_of(row);
        tables.devices.push_back({.name = std::string(row.acpi_name),
                                  .hardware_id = std::string(row.hardware_id),
                                  .ports = {ports.begin(), ports.end()},
                                  .irq = row.irq});
    }
    if (has_pci(description)) {
        tables.pci = AcpiPci{.ecam = pci_ecam, .window = pci_window, .irqs = pci_irqs(description)};
        return tables;
    }
    for (unsigned slot = 0; slot < description.virtio_devices; ++slot) {
        const VirtioPlace place = virtio_place(slot);
        tables.devices.push_back({.name = fmt::format("VR{:02X}", slot),
                                  .hardware_id = "LNRO0005",
                                  .uid = slot,
                                  .ports = {},
                                  .memory = place.memory,
                                  .gsi = place.irq});
    }
    return tables;
}

}  // namespace asyncvm::board

namespace asyncvm {

BootSurroundings pc_surroundings(const PcDescription& description) {
    using namespace board;
    BootSurroundings surroundings;
    surroundings.map = pc_memory_map(description.ram_size);
    const AcpiDescription tables = describe(description);
    surroundings.cpus = description.cpus;
    surroundings.tables = {bios_data(description), extended_bios_data()};
    if (description.acpi) {
        surroundings.rsdp = acpi_tables;
        surroundings.tables.push_back(
            {.name = "ACPI tables", .address = acpi_tables, .bytes = make_acpi_tables(tables, acpi_tables)});
    }
    if (description.mp_table) {
        surroundings.tables.push_back({.name = "MP table",
                                       .address = mp_tables,
                                       .bytes = make_mp_table(description.cpus, mp_tables, pci_irqs(description))});
    }
    return surroundings;
}

void add_pc_devices(const DeviceHost& host, const PcDescription& description) {
    static_cast<void>(board::describe(description));
    for (const board::Row& row : board::pc_rows()) {
        if (!board::has_device(description, row.kind)) continue;
        // The host bridge has these ports.
        if (row.kind == "pci-config" && description.virtio_transport == VirtioTransport::pci) continue;
        const DeviceKind& kind = device_kind(row.kind);
        const DeviceRequest request{std::string(row.kind), {}};
        const auto device = row.make ? row.make(description) : kind.make(DeviceOptions(request), host);
        for (const AddressRange& range : board::ports_of(row)) host.ports.attach(range, device);
    }
}

void add_virtio_device(const DeviceHost& host, unsigned slot, std::shared_ptr<virtio::Device> device) {
    if (slot >= most_virtio_devices) {
        throw Error(ErrorKind::usage, fmt::format("a machine has {} virtio devices at most", most_virtio_devices));
    }
    const VirtioPlace place = virtio_place(slot);
    host.mmio.attach(place.memory, virtio::make_mmio(std::move(device), place.irq));
}

std::shared_ptr<PciHost> add_pci_host(const DeviceHost& host) {
    auto pci = make_pci_host(reset_request(host));
    // Whole: an access at 0xcfd or 0xcff may be wider than what follows, and must not fall apart into bytes.
    host.ports.attach({.first = 0xcf8, .size = 8, .whole = true}, pci);
    host.mmio.attach(pci_ecam, pci);
    return pci;
}

void add_pci_virtio_device(const DeviceHost& host, PciHost& pci, unsigned slot, std::shared_ptr<virtio::Device> device) {
    const auto function = virtio::make_pci(std::move(device));
    pci.add(slot, function);
    const PciSlot at = pci_slot(slot);
    // Behind the IOAPIC's inputs; as many for each function as 4096 lines allow.
    constexpr unsigned first_line = 24, lines = 128;
    function->plug({.bar = at.bar,
                    .irq = at.irq,
                    .range = host.mmio.attach_movable(function->bar_size(), function),
                    .first_line = first_line + (slot - 1) * lines,
                    .lines = lines});
}

}  // namespace asyncvm
