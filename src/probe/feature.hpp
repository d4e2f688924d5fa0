/// What a host's KVM may or may not be able to do, each tried with a guest of a few instructions on a throw-away machine.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::probe {

struct Verdict {
    bool works = false;
    std::string why;  ///< one short line: what happened, or what was seen ("64 elements in one exit"); may be empty
};

struct Feature {
    std::string_view name;     ///< for tests and scripts: "paging-32"
    std::string_view title;    ///< for people: "32-bit paging"
    std::string_view used_by;  ///< which guests, or what of asyncvm, needs it
    std::string_view without;  ///< what to do on a host that lacks it
    Verdict (*probe)();        ///< throws Error(host) where /dev/kvm itself can't be used
};

/// All that is known, in the order in which people are told.
[[nodiscard]] std::span<const Feature> features();

/// Null where there is none of that name.
[[nodiscard]] const Feature* find_feature(std::string_view name);

struct Finding {
    const Feature* feature = nullptr;
    Verdict verdict{};
};

/// Tries everything: less than a second. Throws Error(host) where /dev/kvm can't be used at all.
[[nodiscard]] std::vector<Finding> probe_all();

}  // namespace asyncvm::probe
