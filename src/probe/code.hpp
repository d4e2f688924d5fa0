/// Machine code of the probes' guests: assembly in the C++ source, put into the program's read-only data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace asyncvm::probe {

using Code = std::span<const std::byte>;

/// Where each probe's guest is loaded and entered.
inline constexpr std::uint64_t code_base = 0x10000;

/// The guest writes here whether it saw what it should: 1, or anything else.
inline constexpr std::uint64_t verdict_port = 0xf4;

}  // namespace asyncvm::probe

/// Declares and defines the function NAME() that returns the code. BITS: 16, 32 or 64. In the text `0b` is its first byte,
/// so that `0x10000 + 1f - 0b` is the address of the label 1 in the guest.
#define ASYNCVM_PROBE_CODE(NAME, BITS, TEXT)                 \
    asm(".pushsection .rodata\n"                             \
        ".globl asyncvm_probe_" #NAME                        \
        "\n"                                                 \
        ".globl asyncvm_probe_" #NAME                        \
        "_end\n"                                             \
        ".hidden asyncvm_probe_" #NAME                       \
        "\n"                                                 \
        ".hidden asyncvm_probe_" #NAME                       \
        "_end\n"                                             \
        ".code" #BITS                                        \
        "\n"                                                 \
        "asyncvm_probe_" #NAME                               \
        ":\n"                                                \
        "0:\n" TEXT "\nasyncvm_probe_" #NAME                 \
        "_end:\n"                                            \
        ".code64\n"                                          \
        ".popsection\n");                                    \
    extern "C" const std::byte asyncvm_probe_##NAME[];       \
    extern "C" const std::byte asyncvm_probe_##NAME##_end[]; \
    asyncvm::probe::Code asyncvm::probe::code::NAME() { return {asyncvm_probe_##NAME, asyncvm_probe_##NAME##_end}; }
