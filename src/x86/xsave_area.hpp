/// The area of XSAVE (Intel SDM vol. 1, 13.4), in its standard form. Pure.
#pragma once

#include <asyncvm/fpu_registers.hpp>

#include <cstddef>
#include <span>

namespace asyncvm {

inline constexpr std::size_t xsave_least = 576;  ///< bytes: the area of FXSAVE and the header

/// `avx_offset`: where the upper halves of YMM are, as leaf 0xd of CPUID says; 0: there are none. `area` has `xsave_least`
/// bytes at least; what lies beyond its end reads as 0.
[[nodiscard]] FpuRegisters read_xsave_area(std::span<const std::byte> area, std::size_t avx_offset);

/// Changes these registers and nothing else in the area. FpuRegisters::avx does not count.
void write_xsave_area(std::span<std::byte> area, std::size_t avx_offset, const FpuRegisters& registers);

}  // namespace asyncvm
