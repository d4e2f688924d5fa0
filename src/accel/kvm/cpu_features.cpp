#include "accel/kvm/cpu_features.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <array>
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

template <typename Entry>
Entry* find_entry(std::span<Entry> entries, const CpuFeature& feature) {
    const auto found = std::ranges::find_if(entries, [&feature](const kvm_cpuid_entry2& entry) {
        return entry.function == feature.leaf && entry.index == feature.subleaf;
    });
    return found == entries.end() ? nullptr : &*found;
}

/// Whether no later change is about the same feature.
bool is_last(std::span<const CpuFeatureChange> changes, const CpuFeatureChange& change) {
    const auto later = changes.subspan(static_cast<std::size_t>(&change - changes.data()) + 1);
    return std::ranges::find(later, change.name, &CpuFeatureChange::name) == later.end();
}

std::string spelled(const CpuFeatureChange& change) { return fmt::format("{}{}", change.on ? '+' : '-', change.name); }

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

void check_changeable(std::span<const CpuFeatureChange> changes, bool local_apic) {
    constexpr std::array<std::string_view, 4> of_the_apic{"apic", "x2apic", "tsc-deadline", "extapic"};
    for (const CpuFeatureChange& change : changes) {
        if (!is_last(changes, change)) continue;
        const bool apic = std::ranges::find(of_the_apic, change.name) != of_the_apic.end();
        std::string why;
        if (change.name == "osxsave" || change.name == "ospke") {
            why = "the guest's own CR4 decides it, and CPUID only shows that: name xsave or pku instead";
        } else if (apic && change.on && !local_apic) {
            why = "this machine has no local APIC";
        } else if (change.name == "apic" && !change.on && local_apic) {
            why = "a machine with interrupt controllers has a local APIC, and KVM shows it";
        }
        if (!why.empty()) throw Error(ErrorKind::usage, fmt::format("CPU feature {}: {}", spelled(change), why));
    }
}

void apply_cpu_features(std::vector<kvm_cpuid_entry2>& supported, std::span<const CpuFeatureChange> changes) {
    for (const CpuFeatureChange& change : changes) {
        if (!is_last(changes, change)) continue;
        bool there = false;
        for (const CpuFeature& feature : cpu_features()) {
            if (feature.name != change.name) continue;
            auto* const entry = find_entry(std::span(supported), feature);
            if (entry == nullptr) continue;
            const std::uint32_t bit = std::uint32_t{1} << feature.bit;
            there = there || (entry->*feature.where & bit) != 0;
            if (!change.on) entry->*feature.where &= ~bit;
        }
        if (change.on && !there) {
            throw Error(ErrorKind::host, fmt::format("this host has no CPU feature {} to give to a guest (leave out +{})",
                                                     change.name, change.name));
        }
    }
}

void check_cpu_features(std::span<const kvm_cpuid_entry2> entries, std::span<const CpuFeatureChange> changes,
                        const AskCpuid& ask) {
    for (const CpuFeatureChange& change : changes) {
        if (!is_last(changes, change)) continue;
        for (const CpuFeature& feature : cpu_features()) {
            if (feature.name != change.name) continue;
            const auto* const entry = find_entry(entries, feature);
            const auto seen = entry != nullptr ? ask(feature.leaf, feature.subleaf) : std::nullopt;
            const std::uint32_t bit = std::uint32_t{1} << feature.bit;
            if (!seen || ((*seen).*feature.where & bit) == (entry->*feature.where & bit)) continue;
            throw Error(ErrorKind::host,
                        fmt::format("this host's KVM does not do what {} asks for: the guest's CPUID {} {} (leave it out; "
                                    "asyncvm --probe shows which masks work)",
                                    spelled(change), change.on ? "lacks" : "still shows", change.name));
        }
    }
}

}  // namespace asyncvm::kvm
