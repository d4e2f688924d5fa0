#include "accel/kvm/cpu_features.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "text/suggest.hpp"

namespace asyncvm::kvm {

namespace {

/// People write sse4.2, sse4_2 and SSE4-2.
std::string table_spelling(std::string_view name) {
    std::string spelled;
    for (const char c : name) {
        const bool upper = c >= 'A' && c <= 'Z';
        spelled += c == '_' || c == '.' ? '-' : upper ? static_cast<char>(c - 'A' + 'a') : c;
    }
    return spelled;
}

CpuFeatureChange parse_change(std::string_view word) {
    if (word.empty() || (word[0] != '+' && word[0] != '-')) {
        throw Error(ErrorKind::usage,
                    fmt::format("CPU features are a list of +NAME and -NAME, separated by commas, and \"{}\" "
                                "begins with neither + nor -",
                                word));
    }
    const auto name = table_spelling(word.substr(1));
    const auto features = cpu_features();
    const auto found = std::ranges::find(features, name, &CpuFeature::name);
    if (found == features.end()) {
        std::vector<std::string_view> names;
        for (const CpuFeature& feature : features) names.push_back(feature.name);
        const auto near = nearest(name, names);
        throw Error(ErrorKind::usage,
                    fmt::format("no CPU feature is called \"{}\" ({})", word.substr(1),
                                near.empty() ? "names are as in /proc/cpuinfo" : fmt::format("did you mean {}?", near)));
    }
    return {found->name, word[0] == '+'};
}

kvm_cpuid_entry2* find_entry(std::vector<kvm_cpuid_entry2>& entries, const CpuFeature& feature) {
    const auto found = std::ranges::find_if(entries, [&feature](const kvm_cpuid_entry2& entry) {
        return entry.function == feature.leaf && entry.index == feature.subleaf;
    });
    return found == entries.end() ? nullptr : &*found;
}

}  // namespace

std::vector<CpuFeatureChange> parse_cpu_features(std::string_view text) {
    std::vector<CpuFeatureChange> changes;
    while (!text.empty()) {
        const auto comma = text.find(',');
        changes.push_back(parse_change(text.substr(0, comma)));
        if (comma == std::string_view::npos) break;
        text.remove_prefix(comma + 1);
        if (text.empty()) changes.push_back(parse_change(text));
    }
    return changes;
}

void apply_cpu_features(std::vector<kvm_cpuid_entry2>& supported, std::span<const CpuFeatureChange> changes) {
    const auto original = supported;
    for (const CpuFeatureChange& change : changes) {
        bool there = false;
        for (const CpuFeature& feature : cpu_features()) {
            if (feature.name != change.name) continue;
            auto* const entry = find_entry(supported, feature);
            if (entry == nullptr) continue;
            const std::uint32_t bit = std::uint32_t{1} << feature.bit;
            const auto host = original[static_cast<std::size_t>(entry - supported.data())].*feature.where & bit;
            there = there || host != 0;
            entry->*feature.where = change.on ? (entry->*feature.where | host) : (entry->*feature.where & ~bit);
        }
        if (change.on && !there) {
            throw Error(ErrorKind::host, fmt::format("this host has no CPU feature {} to give to a guest (leave out +{})",
                                                     change.name, change.name));
        }
    }
}

}  // namespace asyncvm::kvm
