/// Which instructions some KVMs can't emulate, from their bytes alone: also without a disassembler.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace asyncvm {

enum class InstructionKind : std::uint8_t {
    plain,      ///< of the 8086 to x86-64 general-purpose set, as far as is known
    x87,        ///< floating point, also FWAIT
    simd,       ///< MMX, SSE, AVX
    extension,  ///< popcnt, crc32, rdtscp, xgetbv, cmpxchg16b and others that came after the first x86-64
    interrupt,  ///< int n, int3, into, iret
    syscall,    ///< syscall, sysenter and their returns
    hypercall,  ///< vmcall, vmmcall
};

/// Of the first instruction in `code`. `bits` is 16, 32 or 64. Too few bytes are `plain`.
[[nodiscard]] InstructionKind instruction_kind(std::span<const std::byte> code, unsigned bits) noexcept;

}  // namespace asyncvm
