/// Bits of the control registers (Intel SDM vol. 3, 2.5) that a report looks at.
#pragma once

#include <cstdint>

namespace asyncvm {

inline constexpr std::uint64_t cr0_pe = 1u << 0;
inline constexpr std::uint64_t cr0_pg = 1u << 31;
inline constexpr std::uint64_t cr4_pse = 1u << 4;
inline constexpr std::uint64_t cr4_pae = 1u << 5;
inline constexpr std::uint64_t cr4_la57 = 1u << 12;
inline constexpr std::uint64_t efer_lma = 1u << 10;
inline constexpr std::uint64_t rflags_vm = 1u << 17;

}  // namespace asyncvm
