#include "board/acpi.hpp"

#include <string_view>

#include "board/aml.hpp"
#include "board/pc_layout.hpp"
#include "board/table_bytes.hpp"

namespace asyncvm::board {

namespace {

constexpr std::string_view oem = "ASYNCV";
constexpr std::string_view product = "ASYNCVM";
constexpr std::string_view creator = "ASVM";
constexpr std::size_t length_offset = 4, checksum_offset = 9;  ///< in every table's header
constexpr std::size_t table_alignment = 64;                    ///< what the FACS wants; the others want less

/// The header that all tables but RSDP and FACS have (5.2.6).
TableBytes begin_table(std::string_view signature, std::uint8_t revision) {
    TableBytes table;
    table.text(signature, 4).u32(0).u8(revision).u8(0).text(oem, 6).text(product, 8).u32(1).text(creator, 4).u32(1);
    return table;
}

std::vector<std::byte> end_table(TableBytes& table) {
    table.set(length_offset, table.size(), 4);
    table.set_checksum(checksum_offset, 0, table.size());
    return table.bytes();
}

/// Firmware ACPI control structure (5.2.10): the guest's and the firmware's common lock, which nobody takes here.
std::vector<std::byte> make_facs() {
    constexpr std::uint32_t size = 64;
    TableBytes facs;
    facs.text("FACS", 4).u32(size).zeros(24).u8(2).zeros(size - 33);
    return facs.bytes();
}

/// RSDT and XSDT (5.2.7, 5.2.8): where the tables are that no other table points to, in 4 and in 8 bytes.
std::vector<std::byte> make_root(std::string_view signature, std::span<const std::uint64_t> tables, unsigned width) {
    TableBytes root = begin_table(signature, 1);
    for (const std::uint64_t table : tables) {
        root.zeros(width);
        root.set(root.size() - width, table, width);
    }
    return end_table(root);
}

/// Root system description pointer (5.2.5.3), which has a checksum for ACPI 1.0's 20 bytes and one for all.
std::vector<std::byte> make_rsdp(std::uint64_t rsdt, std::uint64_t xsdt) {
    constexpr std::size_t size = 36, first_size = 20, first_checksum = 8, whole_checksum = 32;
    constexpr std::uint8_t revision = 2;
    TableBytes rsdp;
    rsdp.text("RSD PTR ", 8).u8(0).text(oem, 6).u8(revision).u32(static_cast<std::uint32_t>(rsdt)).u32(size);
    rsdp.u64(xsdt).zeros(4);
    rsdp.set_checksum(first_checksum, 0, first_size);
    rsdp.set_checksum(whole_checksum, 0, size);
    return rsdp.bytes();
}

/// Generic address structure (5.2.3.2) of a register among the ports. A width of 0: there is none.
void add_register(TableBytes& table, std::uint16_t port, std::uint8_t bytes) {
    if (bytes == 0) {
        table.zeros(12);
        return;
    }
    constexpr std::uint8_t system_io = 1;
    // Byte, word and double word access are 1, 2 and 3; the event block holds two registers of a word each.
    const std::uint8_t access = bytes == 1 ? 1 : port == pm_timer_block ? 3 : 2;
    table.u8(system_io).u8(static_cast<std::uint8_t>(8 * bytes)).u8(0).u8(access).u64(port);
}

}  // namespace

std::vector<std::byte> make_fadt(const AcpiDescription& description, std::uint32_t facs, std::uint32_t dsdt) {
    constexpr std::uint8_t revision = 6, desktop = 1, event_size = 4, control_size = 2, timer_size = 4, century = 0x32;
    constexpr std::uint16_t no_c2 = 0xfff, no_c3 = 0xfff;
    // IAPC_BOOT_ARCH (table 5.11).
    constexpr unsigned isa_devices = 1 << 0, has_8042 = 1 << 1, no_vga = 1 << 2, no_clock = 1 << 5;
    // Flags (table 5.10): WBINVD works, HLT is there, no sleep button, no wake-up by the RTC, a PM timer of 32 bits.
    constexpr unsigned wbinvd = 1 << 0, halt = 1 << 2, no_sleep_button = 1 << 5, no_clock_wake = 1 << 6, timer_32 = 1 << 8,
                       reset_supported = 1 << 10;
    unsigned architecture = isa_devices | no_vga;
    if (description.keyboard_controller) architecture |= has_8042;
    if (!description.clock) architecture |= no_clock;
    unsigned flags = wbinvd | halt | no_sleep_button | no_clock_wake | timer_32;
    if (description.reset_register) flags |= reset_supported;

    TableBytes fadt = begin_table("FACP", revision);
    fadt.u32(facs).u32(dsdt).u8(0).u8(desktop).u16(sci);
    fadt.zeros(8);  // no SMI command: the machine is in ACPI mode from the start
    fadt.u32(pm1_event_block).u32(0).u32(pm1_control_block).u32(0).u32(0).u32(pm_timer_block).u32(0).u32(0);
    fadt.u8(event_size).u8(control_size).u8(0).u8(timer_size).zeros(4);
    fadt.u16(no_c2).u16(no_c3).zeros(8);  // no flush, no throttling, no alarm in days or months
    fadt.u8(description.clock ? century : 0).u16(static_cast<std::uint16_t>(architecture)).u8(0).u32(flags);
    add_register(fadt, reset_port, description.reset_register ? 1 : 0);
    fadt.u8(description.reset_register ? reset_value : 0).zeros(3);
    fadt.u64(0).u64(dsdt);  // X_FIRMWARE_CTRL is 0 where FIRMWARE_CTRL is not
    add_register(fadt, pm1_event_block, event_size);
    add_register(fadt, 0, 0);
    add_register(fadt, pm1_control_block, control_size);
    add_register(fadt, 0, 0);
    add_register(fadt, 0, 0);
    add_register(fadt, pm_timer_block, timer_size);
    fadt.zeros(4 * 12);           // no general-purpose events, no registers of hardware-reduced ACPI
    fadt.text(product, 7).u8(0);  // the hypervisor
    return end_table(fadt);
}

std::vector<std::byte> make_madt(unsigned cpus) {
    // Interrupt controller structures (5.2.12).
    constexpr std::uint8_t local_apic = 0, io_apic = 1, source_override = 2, local_apic_nmi = 4, all_cpus = 0xff, isa = 0;
    constexpr std::uint16_t as_the_bus = 0, level_high = 0b1101;
    constexpr std::uint32_t has_pics = 1, enabled = 1;
    constexpr std::uint8_t nmi_input = 1;
    TableBytes madt = begin_table("APIC", 5);
    madt.u32(local_apic_address).u32(has_pics);
    for (unsigned cpu = 0; cpu < cpus; ++cpu) {
        const auto id = static_cast<std::uint8_t>(cpu);
        madt.u8(local_apic).u8(8).u8(id).u8(id).u32(enabled);
    }
    madt.u8(io_apic).u8(12).u8(0).u8(0).u32(ioapic_address).u32(0);
    madt.u8(source_override).u8(10).u8(isa).u8(timer_irq).u32(timer_ioapic_input).u16(as_the_bus);
    madt.u8(source_override).u8(10).u8(isa).u8(sci).u32(sci).u16(level_high);
    madt.u8(local_apic_nmi).u8(6).u8(all_cpus).u16(as_the_bus).u8(nmi_input);
    return end_table(madt);
}

namespace {

/// A host bridge of PCI Express, which has ECAM, and of PCI for kernels that know no other.
aml::Code host_bridge(const AcpiPci& pci) {
    constexpr std::uint64_t config_ports = 0xcf8, all_functions = 0xffff;
    constexpr std::uint8_t config_ports_size = 8;
    std::vector<aml::Code> routes;
    for (std::uint64_t slot = 1; slot <= pci.irqs.size(); ++slot) {
        // Address, pin A, no link device: the interrupt is the last element (6.2.13).
        routes.push_back(aml::package(
            {aml::integer(slot << 16 | all_functions), aml::integer(0), aml::integer(0), aml::integer(pci.irqs[slot - 1])}));
    }
    const aml::Code resources = aml::join(
        {aml::bus_numbers(0, 0), aml::io_ports(config_ports, config_ports_size),
         aml::memory_window(static_cast<std::uint32_t>(pci.window.first), static_cast<std::uint32_t>(pci.window.size))});
    return aml::device(
        "PCI0", aml::join({aml::name("_HID", aml::hardware_id("PNP0A08")), aml::name("_CID", aml::hardware_id("PNP0A03")),
                           aml::name("_UID", aml::integer(0)), aml::name("_BBN", aml::integer(0)),
                           aml::name("_CRS", aml::resource_template(resources)),
                           aml::name("_PRT", aml::package(std::span<const aml::Code>(routes)))}));
}

/// A motherboard resource, without which Linux does not use ECAM.
aml::Code reservation_of(const AddressRange& range) {
    const aml::Code resources = aml::memory(static_cast<std::uint32_t>(range.first), static_cast<std::uint32_t>(range.size));
    return aml::device("ECAM", aml::join({aml::name("_HID", aml::hardware_id("PNP0C02")),
                                          aml::name("_CRS", aml::resource_template(resources))}));
}

}  // namespace

std::vector<std::byte> make_dsdt(std::span<const AcpiDevice> devices, const std::optional<AcpiPci>& pci) {
    aml::Code bus;
    if (pci) bus = aml::join({host_bridge(*pci), reservation_of(pci->ecam)});
    for (const AcpiDevice& device : devices) {
        aml::Code resources;
        for (const AddressRange& range : device.ports) {
            resources = aml::join(
                {resources, aml::io_ports(static_cast<std::uint16_t>(range.first), static_cast<std::uint8_t>(range.size))});
        }
        if (device.irq) resources = aml::join({resources, aml::isa_interrupt(*device.irq)});
        if (device.memory) {
            resources = aml::join({resources, aml::memory(static_cast<std::uint32_t>(device.memory->first),
                                                          static_cast<std::uint32_t>(device.memory->size))});
        }
        if (device.gsi) resources = aml::join({resources, aml::level_interrupt(*device.gsi)});
        constexpr unsigned present = 0xf;  // there, enabled, shown, working
        const aml::Code uid = device.uid ? aml::name("_UID", aml::integer(*device.uid)) : aml::Code{};
        bus = aml::join({bus, aml::device(device.name, aml::join({aml::name("_HID", aml::hardware_id(device.hardware_id)),
                                                                  uid, aml::name("_STA", aml::integer(present)),
                                                                  aml::name("_CRS", aml::resource_template(resources))}))});
    }
    TableBytes dsdt = begin_table("DSDT", 2);
    const aml::Code off = aml::integer(soft_off), zero = aml::integer(0);
    dsdt.append(aml::name("\\_S5", aml::package({off, off, zero, zero})));
    if (!bus.empty()) dsdt.append(aml::scope("\\_SB", bus));
    return end_table(dsdt);
}

std::vector<std::byte> make_mcfg(const AcpiPci& pci) {
    TableBytes mcfg = begin_table("MCFG", 1);
    mcfg.zeros(8).u64(pci.ecam.first).u16(0).u8(0).u8(0).zeros(4);  // segment 0, buses 0 to 0
    return end_table(mcfg);
}

std::vector<std::byte> make_acpi_tables(const AcpiDescription& description, std::uint64_t address) {
    constexpr std::size_t rsdp_size = 36;
    TableBytes all;
    all.zeros(rsdp_size);
    const auto add = [&all, address](std::span<const std::byte> table) {
        all.align(table_alignment);
        const std::uint64_t place = address + all.size();
        all.append(table);
        return place;
    };
    const auto facs = static_cast<std::uint32_t>(add(make_facs()));
    const auto dsdt = static_cast<std::uint32_t>(add(make_dsdt(description.devices, description.pci)));
    std::vector<std::uint64_t> tables{add(make_fadt(description, facs, dsdt)), add(make_madt(description.cpus))};
    if (description.pci) tables.push_back(add(make_mcfg(*description.pci)));
    const std::uint64_t rsdt = add(make_root("RSDT", tables, 4));
    const std::uint64_t xsdt = add(make_root("XSDT", tables, 8));
    TableBytes result;
    result.append(make_rsdp(rsdt, xsdt)).append(std::span(all.bytes()).subspan(rsdp_size));
    return result.bytes();
}

}  // namespace asyncvm::board
