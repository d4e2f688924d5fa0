/// The MP tables of the pc machine (Intel's MultiProcessor Specification 1.4, chapter 4), for kernels that do not read
/// ACPI. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace asyncvm::board {

/// The floating pointer and, behind it, the configuration table, as they lie at `address`, a multiple of 16 below 4 GiB.
/// `cpus` is most_cpus at most. `pci`: the interrupts of INTA# of slots 1, 2 and so on of a PCI bus; empty: there is none.
[[nodiscard]] std::vector<std::byte> make_mp_table(unsigned cpus, std::uint64_t address, std::span<const unsigned> pci = {});

}  // namespace asyncvm::board
