/// x87, SSE and AVX of an x86 vCPU, independent of the accelerator. Names as in the processor manuals.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace asyncvm {

/// As after FNINIT, with all data registers 0.
struct FpuRegisters {
    std::array<std::array<std::byte, 10>, 8> st{};  ///< ST0 to ST7: from the top of the stack on
    std::uint16_t control = 0x37f;
    std::uint16_t status = 0;
    std::uint16_t tags = 0xffff;    ///< two bits for each register, by its own number, not by its place in the stack
    std::uint16_t opcode = 0;       ///< 11 bits, of the last instruction
    std::uint64_t instruction = 0;  ///< where that is: 64 bits, or an offset in 32 and a selector in the next 16
    std::uint64_t operand = 0;      ///< and its operand

    std::array<std::array<std::byte, 16>, 16> xmm{};
    std::uint32_t mxcsr = 0x1f80;

    bool avx = false;                                      ///< there is such a thing
    std::array<std::array<std::byte, 16>, 16> ymm_high{};  ///< bits 128 to 255 of YMM0 to YMM15
};

}  // namespace asyncvm
