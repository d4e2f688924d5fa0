/// Random straight-line programs of general-purpose integer instructions. Pure: the same seed gives the same program.
#pragma once

#include <asyncvm/loader.hpp>

#include <cstdint>
#include <vector>

namespace asyncvm::test {

struct Program {
    std::vector<std::uint8_t> code;     ///< ends in HLT
    std::uint64_t undefined_flags = 0;  ///< what the manuals leave open at the end: bits of RFLAGS
};

/// RBX and RSP keep their values, but for pushes and pops in pairs; memory is touched in [RBX - 160, RBX + 272) and by at
/// most 64 bytes of stack. No instruction faults. Where one would read a flag that is undefined, one that defines it is put
/// before.
[[nodiscard]] Program generate_program(std::uint64_t seed, Mode mode, unsigned instructions);

}  // namespace asyncvm::test
