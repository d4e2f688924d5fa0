/// Guests of the tests as assembly in their source: put into the test program's read-only data.
#pragma once

#include <cstddef>
#include <span>

/// Defines the function NAME() that returns the machine code. BITS: 16, 32 or 64. In the text `0b` is its first byte.
#define GUEST_CODE(NAME, BITS, TEXT)                        \
    asm(".pushsection .rodata\n"                            \
        ".globl asyncvm_test_" #NAME                        \
        "\n"                                                \
        ".globl asyncvm_test_" #NAME                        \
        "_end\n"                                            \
        ".code" #BITS                                       \
        "\n"                                                \
        "asyncvm_test_" #NAME                               \
        ":\n"                                               \
        "0:\n" TEXT "\nasyncvm_test_" #NAME                 \
        "_end:\n"                                           \
        ".code64\n"                                         \
        ".popsection\n");                                   \
    extern "C" const std::byte asyncvm_test_##NAME[];       \
    extern "C" const std::byte asyncvm_test_##NAME##_end[]; \
    static std::span<const std::byte> NAME() { return {asyncvm_test_##NAME, asyncvm_test_##NAME##_end}; }
