/// Where a vCPU's instruction and its stack are, as linear addresses: in real mode a segment's base is part of them. Pure.
#pragma once

#include <asyncvm/registers.hpp>

#include <cstdint>

#include "x86/bits.hpp"

namespace asyncvm {

[[nodiscard]] inline bool in_64_bits(const Registers& registers) noexcept {
    return (registers.efer & efer_lma) != 0 && registers.cs.long_mode;
}

[[nodiscard]] inline std::uint64_t linear_pc(const Registers& registers) noexcept {
    if (in_64_bits(registers)) return registers.rip;
    return (registers.rip + registers.cs.base) & 0xffff'ffff;
}

[[nodiscard]] inline std::uint64_t linear_sp(const Registers& registers) noexcept {
    if (in_64_bits(registers)) return registers.rsp;
    const std::uint64_t used = registers.ss.default_32 ? 0xffff'ffff : 0xffff;
    return ((registers.rsp & used) + registers.ss.base) & 0xffff'ffff;
}

}  // namespace asyncvm
