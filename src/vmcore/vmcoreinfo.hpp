/// What a Linux kernel tells those who read a dump of it: sizes, offsets and addresses, and where KASLR has put it. It keeps
/// that as an ELF note, ready for the file. Pure but for the memory.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace asyncvm::vmcore {

/// The note "VMCOREINFO" at `address`, whole as it is in memory; empty: there is none. Linux, from 4.13 on, has it at the
/// begin of a page (kernel/crash_core.c), so whoever looks for it goes from page to page.
[[nodiscard]] std::vector<std::byte> vmcoreinfo_at(const GuestMemory& memory, std::uint64_t address);

}  // namespace asyncvm::vmcore
