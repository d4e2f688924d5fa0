/// Where things are on the pc machine: every address and number that more than one part of it has to know.
#pragma once

#include <asyncvm/board.hpp>
#include <asyncvm/guest_memory.hpp>

#include <cstdint>

namespace asyncvm::board {

// Memory below 1 MiB. What a BIOS would have left there, and nothing else: the rest is the guest's.
inline constexpr std::uint64_t bios_data_area = 0x400;
inline constexpr std::uint64_t ebda = 0x9'fc00;  ///< extended BIOS data area: the last KiB of conventional memory
inline constexpr std::uint64_t ebda_size = 0x400;
inline constexpr std::uint64_t conventional_end = ebda + ebda_size;
/// The window in which kernels look for the RSDP: 0xe0000 to 0xfffff (ACPI 6.5, 5.2.5.1). MP tables have its upper half (MP
/// specification 1.4, chapter 4).
inline constexpr std::uint64_t acpi_tables = 0xe'0000;
inline constexpr std::uint64_t acpi_tables_size = 0x1'0000;
inline constexpr std::uint64_t mp_tables = 0xf'0000;
inline constexpr std::uint64_t mp_tables_size = 0x1'0000;
inline constexpr std::uint64_t extended_memory = 0x10'0000;

// RAM, as GuestMemory has it.
inline constexpr std::uint64_t low_ram_limit = GuestMemory::low_limit;
inline constexpr std::uint64_t high_ram = GuestMemory::high_base;

// Virtio devices: virtio_place() in <asyncvm/board.hpp>.
inline constexpr std::uint64_t virtio_base = virtio_place(0).memory.first;
inline constexpr std::uint64_t virtio_size = most_virtio_devices * virtio::mmio_size;

// Interrupt controllers, as KVM makes them.
inline constexpr std::uint32_t ioapic_address = 0xfec0'0000;
inline constexpr std::uint32_t local_apic_address = 0xfee0'0000;
inline constexpr unsigned isa_interrupts = 16;
/// The ISA interrupt of the timer, and the input of the IOAPIC that it goes to, which the PIC's cascade leaves free.
inline constexpr unsigned timer_irq = 0;
inline constexpr unsigned timer_ioapic_input = 2;
inline constexpr unsigned cascade_irq = 2;
inline constexpr unsigned sci = 9;  ///< ACPI's interrupt, level-triggered and active high

// ACPI's fixed hardware.
inline constexpr std::uint16_t pm1_event_block = 0x600;  ///< status and enable, 2 bytes each
inline constexpr std::uint16_t pm1_control_block = 0x604;
inline constexpr std::uint16_t pm_timer_block = 0x608;
inline constexpr std::uint8_t soft_off = 5;  ///< SLP_TYP of the state S5
inline constexpr std::uint16_t reset_port = 0xcf9;
inline constexpr std::uint8_t reset_value = 6;

inline constexpr unsigned most_cpus = 255;  ///< the APIC ID 255 means all

}  // namespace asyncvm::board
