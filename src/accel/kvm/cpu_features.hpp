/// The names of the processor features that CPUID shows, and masks of them. Pure.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace asyncvm::kvm {

/// Where CPUID shows a feature (Intel SDM vol. 2, CPUID; AMD APM vol. 3, appendix E).
struct CpuFeature {
    std::string_view name;  ///< as Linux and QEMU spell it, with dashes
    std::uint32_t leaf;
    std::uint32_t subleaf;
    std::uint32_t kvm_cpuid_entry2::*where;
    unsigned bit;
};

/// A name may be there twice: AMD shows some features in two leaves.
[[nodiscard]] std::span<const CpuFeature> cpu_features();

struct CpuFeatureChange {
    std::string_view name;  ///< in the table's spelling
    bool on = false;
};

/// "+NAME" and "-NAME", separated by commas; upper case, "_" and "." are as good as lower case and "-". Empty: no changes.
/// Throws Error(usage).
[[nodiscard]] std::vector<CpuFeatureChange> parse_cpu_features(std::string_view text);

/// In their order, the last for a feature counts. Throws Error(host) for a "+" where `supported`, which is what the host can
/// do, does not have the feature.
void apply_cpu_features(std::vector<kvm_cpuid_entry2>& supported, std::span<const CpuFeatureChange> changes);

}  // namespace asyncvm::kvm
