#include "board/mp_table.hpp"

#include <string_view>

#include "board/pc_layout.hpp"
#include "board/table_bytes.hpp"

namespace asyncvm::board {

namespace {

constexpr std::uint8_t mp_revision = 4;  ///< 1.4
constexpr std::size_t pointer_size = 16;

enum : std::uint8_t { processor_entry, bus_entry, ioapic_entry, interrupt_entry, local_interrupt_entry };
enum : std::uint8_t { vectored, nmi, smi, external };  ///< kinds of interrupts (table 4-10)
/// The number of the ISA bus without a PCI bus. With one it is the next: the number of a PCI bus is the one that it has.
constexpr std::uint8_t isa_alone = 0;
constexpr std::uint8_t pci_bus = 0, isa_beside_pci = 1;
constexpr std::uint16_t level_high = 0b1101;
/// As the register of KVM's IOAPIC says: xv6 compares them.
constexpr std::uint8_t ioapic_id = 0;

void add_processor(TableBytes& table, unsigned cpu) {
    constexpr std::uint8_t local_apic_version = 0x14, enabled = 1, boots = 2;
    // Who wants the truth about the processor asks CPUID: family 6 with an FPU and a local APIC.
    constexpr std::uint32_t signature = 0x600, features = 1 | 1 << 9;
    table.u8(processor_entry).u8(static_cast<std::uint8_t>(cpu)).u8(local_apic_version);
    table.u8(cpu == 0 ? enabled | boots : enabled).u32(signature).u32(features).zeros(8);
}

/// What interrupt `source` of a bus is connected to. Those of the ISA bus are edge-triggered and active high, unless `flags`
/// say otherwise.
void add_interrupt(TableBytes& table, std::uint8_t bus, unsigned source, unsigned input, std::uint16_t flags) {
    table.u8(interrupt_entry).u8(vectored).u16(flags).u8(bus).u8(static_cast<std::uint8_t>(source));
    table.u8(ioapic_id).u8(static_cast<std::uint8_t>(input));
}

void add_local_interrupt(TableBytes& table, std::uint8_t isa_bus, std::uint8_t kind, std::uint8_t local_apic,
                         std::uint8_t input) {
    table.u8(local_interrupt_entry).u8(kind).u16(0).u8(isa_bus).u8(0).u8(local_apic).u8(input);
}

std::vector<std::byte> make_configuration(unsigned cpus, std::span<const unsigned> pci) {
    constexpr std::size_t length_offset = 4, checksum_offset = 7, count_offset = 34;
    constexpr std::uint8_t ioapic_version = 0x11, enabled = 1, all_local_apics = 0xff;
    const std::uint8_t isa_bus = pci.empty() ? isa_alone : isa_beside_pci;
    TableBytes table;
    table.text("PCMP", 4).u16(0).u8(mp_revision).u8(0).text("ASYNCVM", 8).text("PC", 12);
    table.u32(0).u16(0).u16(0).u32(local_apic_address).u32(0);
    unsigned entries = 0;
    for (unsigned cpu = 0; cpu < cpus; ++cpu, ++entries) add_processor(table, cpu);
    if (!pci.empty()) {
        table.u8(bus_entry).u8(pci_bus).text("PCI", 6);
        ++entries;
    }
    table.u8(bus_entry).u8(isa_bus).text("ISA", 6);
    table.u8(ioapic_entry).u8(ioapic_id).u8(ioapic_version).u8(enabled).u32(ioapic_address);
    entries += 2;
    for (unsigned irq = 0; irq < isa_interrupts; ++irq) {
        if (irq == cascade_irq) continue;
        add_interrupt(table, isa_bus, irq, irq == timer_irq ? timer_ioapic_input : irq, irq == sci ? level_high : 0);
        ++entries;
    }
    for (unsigned slot = 1; slot <= pci.size(); ++slot, ++entries) {
        // The source is the slot, and the pin in the lowest two bits (D.3).
        add_interrupt(table, pci_bus, slot << 2, pci[slot - 1], level_high);
    }
    add_local_interrupt(table, isa_bus, external, 0, 0);
    add_local_interrupt(table, isa_bus, nmi, all_local_apics, 1);
    entries += 2;
    table.set(length_offset, table.size(), 2);
    table.set(count_offset, entries, 2);
    table.set_checksum(checksum_offset, 0, table.size());
    return table.bytes();
}

}  // namespace

std::vector<std::byte> make_mp_table(unsigned cpus, std::uint64_t address, std::span<const unsigned> pci) {
    constexpr std::size_t checksum_offset = 10;
    TableBytes tables;
    // No feature bytes: there is a configuration table, and no IMCR that hides the APICs behind the PICs.
    tables.text("_MP_", 4).u32(static_cast<std::uint32_t>(address + pointer_size)).u8(pointer_size / 16).u8(mp_revision);
    tables.u8(0).zeros(5);
    tables.set_checksum(checksum_offset, 0, pointer_size);
    tables.append(make_configuration(cpus, pci));
    return tables.bytes();
}

}  // namespace asyncvm::board
