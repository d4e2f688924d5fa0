#include "probe/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace asyncvm::probe {

namespace {

/// A kind of guest, and the features that all of it needs.
struct Use {
    std::string_view title;
    std::vector<std::string_view> needs;
};

const std::vector<Use>& uses() {
    static const std::vector<Use> all{
        {"16-bit flat guests", {"real-mode", "int-real"}},
        {"32-bit flat guests", {"protected-mode"}},
        {"64-bit flat guests", {"long-mode"}},
        {"... with SSE and floating point", {"sse", "x87", "popcnt"}},
        {"... with interrupt handlers", {"int-32", "int-64", "irq-wake"}},
        {"32-bit kernels", {"paging-32", "paging-pae", "int-32", "irq-wake"}},
        {"64-bit kernels with user programs", {"enter-long-mode", "ring3-syscall", "ring3-int", "int-64", "irq-wake"}},
        {"several vCPUs", {"two-cpus"}},
        {"a debugger on the guest", {"single-step"}},
    };
    return all;
}

std::vector<std::string_view> missing(const Use& use, std::span<const Finding> findings) {
    std::vector<std::string_view> titles;
    for (const Finding& finding : findings) {
        if (!finding.verdict.works && std::ranges::count(use.needs, finding.feature->name) != 0) {
            titles.push_back(finding.feature->title);
        }
    }
    return titles;
}

std::string join(std::span<const std::string_view> words) {
    std::string text;
    for (const auto word : words) text += fmt::format("{}{}", text.empty() ? "" : "; ", word);
    return text;
}

void add_advice(std::string& text, std::span<const Finding> findings) {
    std::vector<std::string_view> given;
    for (const Finding& finding : findings) {
        const auto advice = finding.feature->without;
        if (finding.verdict.works || std::ranges::count(given, advice) != 0) continue;
        if (given.empty()) text += "\nWhat to do:\n";
        given.push_back(advice);
        text += fmt::format("  {}:\n", advice);
        for (const Finding& other : findings) {
            if (other.verdict.works || other.feature->without != advice) continue;
            text += fmt::format("    {} ({})\n", other.feature->title, other.feature->used_by);
        }
    }
}

}  // namespace

std::string format_table(const Host& host, std::span<const Finding> findings, const std::string& unusable) {
    std::string text = fmt::format("Linux {} on {}{}\n", host.linux_release, host.processor,
                                   host.hypervisor.empty() ? "" : fmt::format(", itself a guest of {}", host.hypervisor));
    if (!unusable.empty()) return text + fmt::format("KVM: not usable: {}\n", unusable);
    text += fmt::format("KVM: {}\n\n{:36}{:6}{}\n", host.kvm, "feature", "works", "why, or what was seen");
    for (const Finding& finding : findings) {
        text +=
            fmt::format("{:36}{:6}{}", finding.feature->title, finding.verdict.works ? "yes" : "no", finding.verdict.why);
        text.erase(text.find_last_not_of(' ') + 1);
        text += '\n';
    }
    text += "\nWhat that means:\n";
    for (const Use& use : uses()) {
        const auto without = missing(use, findings);
        text += fmt::format("  {:34}{}\n", use.title, without.empty() ? "yes" : fmt::format("no: {}", join(without)));
    }
    add_advice(text, findings);
    return text;
}

std::string format_lines(std::span<const Finding> findings, const std::string& unusable) {
    if (!unusable.empty()) return fmt::format("kvm=no {}\n", unusable);
    std::string text = "kvm=yes\n";
    for (const Finding& finding : findings) {
        text += fmt::format("{}={}{}{}\n", finding.feature->name, finding.verdict.works ? "yes" : "no",
                            finding.verdict.works || finding.verdict.why.empty() ? "" : " ",
                            finding.verdict.works ? "" : finding.verdict.why);
    }
    return text;
}

}  // namespace asyncvm::probe
