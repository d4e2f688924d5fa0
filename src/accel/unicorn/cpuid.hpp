/// What CPUID says on Unicorn.
#pragma once

#include <cstdint>

namespace asyncvm::unicorn {

struct Cpuid {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

/// Only what Unicorn 2.0.1 really runs; `index` is the vCPU's, the initial APIC ID. Leaves above the last one answer like
/// the last one would on a processor of AMD: zeros. Pure.
[[nodiscard]] Cpuid cpuid(std::uint32_t leaf, std::uint32_t subleaf, unsigned index) noexcept;

}  // namespace asyncvm::unicorn
