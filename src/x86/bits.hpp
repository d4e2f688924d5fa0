/// Bits of the control registers, of EFER and of RFLAGS (Intel SDM vol. 3, chapter 2), and numbers of MSRs.
#pragma once

#include <cstdint>

namespace asyncvm {

inline constexpr std::uint64_t cr0_pe = 1u << 0;
inline constexpr std::uint64_t cr0_et = 1u << 4;
inline constexpr std::uint64_t cr0_pg = 1u << 31;
inline constexpr std::uint64_t cr4_pse = 1u << 4;
inline constexpr std::uint64_t cr4_pae = 1u << 5;
inline constexpr std::uint64_t cr4_la57 = 1u << 12;
inline constexpr std::uint64_t efer_lma = 1u << 10;
inline constexpr std::uint32_t msr_efer = 0xc000'0080;

inline constexpr std::uint64_t rflags_tf = 1u << 8;
inline constexpr std::uint64_t rflags_if = 1u << 9;
inline constexpr std::uint64_t rflags_nt = 1u << 14;
inline constexpr std::uint64_t rflags_rf = 1u << 16;
inline constexpr std::uint64_t rflags_vm = 1u << 17;
inline constexpr std::uint64_t rflags_ac = 1u << 18;

}  // namespace asyncvm
