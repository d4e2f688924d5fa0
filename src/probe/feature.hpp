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
    Verdict (*probe)();        ///< may throw Error(host): see try_feature()
};

/// All that is known, in the order in which people are told.
[[nodiscard]] std::span<const Feature> features();

/// Null where there is none of that name.
[[nodiscard]] const Feature* find_feature(std::string_view name);

struct Finding {
    const Feature* feature = nullptr;
    Verdict verdict{};
};

/// What the host refuses while it is tried is the reason why it does not work.
[[nodiscard]] Verdict try_feature(const Feature& feature);

/// Tries everything, about a second. Whether /dev/kvm can be used at all is better asked before.
[[nodiscard]] std::vector<Finding> probe_all();

}  // namespace asyncvm::probe
