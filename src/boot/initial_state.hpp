/// The processor state that a flat guest starts with.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/loader.hpp>
#include <asyncvm/registers.hpp>

#include <cstdint>

namespace asyncvm {

/// Where things lie in the boot tables, relative to GuestMemory::boot_tables_base.
namespace boot_layout {
inline constexpr std::uint64_t pml4 = 0x0000;
inline constexpr std::uint64_t pdpt = 0x1000;
inline constexpr std::uint64_t page_directories = 0x2000;  ///< four of them, a GiB each
inline constexpr std::uint64_t gdt = 0x6000;
}  // namespace boot_layout

/// `entry` must be in reach of the mode: up to 0xfffff, or below 4 GiB. Writes the boot tables unless the mode is real16.
/// With `linux_selectors` code is 0x10 and data 0x18, as Linux's boot protocol has them; without, 8 and 0x10.
[[nodiscard]] Registers initial_registers(GuestMemory& memory, Mode mode, std::uint64_t entry, bool linux_selectors = false);

/// Of the first processor after a reset (Intel SDM vol. 3, table 9-1): real mode at 0xfffffff0, caches off.
[[nodiscard]] Registers reset_registers() noexcept;

/// A segment register as real mode has it: base = selector * 16, 64 KiB.
[[nodiscard]] Segment real_mode_segment(std::uint16_t selector, bool code) noexcept;

}  // namespace asyncvm
