/// What CPUID says on Unicorn.
#pragma once

#include <cstdint>

namespace asyncvm::unicorn {

struct Cpuid {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

namespace cpuid_bits {

// The bits are those that Unicorn's translator asks before it accepts an instruction, and what has no such bit and works.
inline constexpr std::uint32_t leaf1_edx = 1u << 0                // x87
                                           | 1u << 3              // PSE
                                           | 1u << 4              // TSC
                                           | 1u << 5              // RDMSR, WRMSR
                                           | 1u << 6              // PAE
                                           | 1u << 8              // CMPXCHG8B
                                           | 1u << 15             // CMOV
                                           | 1u << 19             // CLFLUSH
                                           | 1u << 24             // FXSAVE
                                           | 1u << 25             // SSE
                                           | 1u << 26;            // SSE2
inline constexpr std::uint32_t leaf1_ecx = 1u << 9                // SSSE3
                                           | 1u << 13             // CMPXCHG16B
                                           | 1u << 19             // SSE4.1
                                           | 1u << 20             // SSE4.2
                                           | 1u << 25;            // AES
inline constexpr std::uint32_t leaf7_ebx = 1u << 3                // BMI1
                                           | 1u << 8              // BMI2
                                           | 1u << 19;            // ADX
inline constexpr std::uint32_t extended_edx = 1u << 29;           // long mode
inline constexpr std::uint32_t extended_ecx = 1u << 0 | 1u << 5;  // LAHF in long mode, LZCNT

inline constexpr std::uint32_t last_leaf = 7;
inline constexpr std::uint32_t last_extended_leaf = 0x8000'0008;
/// Family 15, model 107, stepping 1: QEMU's plain 64-bit processor, which Unicorn's is.
inline constexpr std::uint32_t signature = 0x0006'0fb1;
inline constexpr std::uint32_t address_bits = 48 << 8 | 40;

}  // namespace cpuid_bits

/// Only what Unicorn 2.0.1 really runs; `index` is the vCPU's, the initial APIC ID. Leaves above the last one answer like
/// the last one would on a processor of AMD: zeros. Pure.
[[nodiscard]] constexpr Cpuid cpuid(std::uint32_t leaf, std::uint32_t subleaf, unsigned index) noexcept {
    using namespace cpuid_bits;
    // "AuthenticAMD", in the order ebx, edx, ecx.
    constexpr std::uint32_t vendor_ebx = 0x6874'7541, vendor_edx = 0x6974'6e65, vendor_ecx = 0x444d'4163;
    switch (leaf) {
        case 0:
            return {last_leaf, vendor_ebx, vendor_ecx, vendor_edx};
        case 1:
            return {signature, index << 24 | 8u << 8, leaf1_ecx, leaf1_edx};  // lines of 64 bytes
        case 7:
            return subleaf == 0 ? Cpuid{0, leaf7_ebx, 0, 0} : Cpuid{};
        case 0x8000'0000:
            return {last_extended_leaf, vendor_ebx, vendor_ecx, vendor_edx};
        case 0x8000'0001:
            return {signature, 0, extended_ecx, extended_edx};
        case 0x8000'0008:
            return {address_bits, 0, 0, 0};
        default:
            return {};
    }
}

}  // namespace asyncvm::unicorn
