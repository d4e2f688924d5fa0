/// Features that a host's KVM may lack. Each is tried with a guest of a few instructions on a throw-away machine.
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
    Verdict (*probe)();        ///< may throw Error(host): see try_feature()
};

/// All features, in the order of the output.
[[nodiscard]] std::span<const Feature> features();

/// Null if there is no feature of that name.
[[nodiscard]] const Feature* find_feature(std::string_view name);

struct Finding {
    const Feature* feature = nullptr;
    Verdict verdict{};
};

/// An Error(host) from the probe becomes the reason why the feature does not work.
[[nodiscard]] Verdict try_feature(const Feature& feature);

/// Tries all features, in about a second. Ask before whether /dev/kvm can be used at all.
[[nodiscard]] std::vector<Finding> probe_all();

}  // namespace asyncvm::probe
