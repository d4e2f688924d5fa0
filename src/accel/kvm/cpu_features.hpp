/// The names of the processor features that CPUID shows, and masks of them. Pure.
#pragma once

#include <linux/kvm.h>

#include <cstdint>
#include <functional>
#include <optional>
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

/// Throws Error(usage) for a change that no KVM can make on a machine with, or without, a local APIC.
void check_changeable(std::span<const CpuFeatureChange> changes, bool local_apic);

/// The last change of a feature counts. Throws Error(host) for a "+" where `supported`, which is what the host can do, does
/// not have the feature.
void apply_cpu_features(std::vector<kvm_cpuid_entry2>& supported, std::span<const CpuFeatureChange> changes);

/// What a guest's CPUID says; nothing if that is not known.
using AskCpuid = std::function<std::optional<kvm_cpuid_entry2>(std::uint32_t leaf, std::uint32_t subleaf)>;

/// Throws Error(host) if a guest does not see one of `changes`, which have been applied to `entries`.
void check_cpu_features(std::span<const kvm_cpuid_entry2> entries, std::span<const CpuFeatureChange> changes,
                        const AskCpuid& ask);

}  // namespace asyncvm::kvm
