/// The MP tables of the pc machine (Intel's MultiProcessor Specification 1.4, chapter 4), for kernels that do not read
/// ACPI. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace asyncvm::board {

/// The floating pointer and, behind it, the configuration table, as they lie at `address`, a multiple of 16 below 4 GiB.
/// `cpus` is most_cpus at most.
[[nodiscard]] std::vector<std::byte> make_mp_table(unsigned cpus, std::uint64_t address);

}  // namespace asyncvm::board
