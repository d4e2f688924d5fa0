#include "machine/sleep_watch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace asyncvm {

namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds longest_interval = 250ms;

/// "vCPU 0", "vCPUs 0, 1, 2".
std::string cpus_that(std::span<const Activity> activities, Activity wanted) {
    std::string text;
    for (std::size_t cpu = 0; cpu < activities.size(); ++cpu) {
        if (activities[cpu] == wanted) text += fmt::format("{}{}", text.empty() ? "" : ", ", cpu);
    }
    return fmt::format("vCPU{} {}", text.find(',') != std::string::npos ? "s" : "", text);
}

}  // namespace

bool SleepWatch::look(std::span<const Time> used, bool all_in_guest) {
    const bool still = all_in_guest && std::ranges::equal(used, used_);
    used_.assign(used.begin(), used.end());
    if (!still) interval_ = std::min(interval_ * 2, longest_interval);
    return still;
}

void SleepWatch::asked(std::span<const Time> used) {
    used_.assign(used.begin(), used.end());
    interval_ = std::min(interval_ * 2, longest_interval);
}

bool SleepWatch::is_over(std::span<const Activity> activities) noexcept {
    return std::ranges::none_of(activities,
                                [](Activity each) { return each == Activity::runs || each == Activity::sleeps; });
}

Outcome halted_outcome(std::span<const Activity> activities) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::halted;
    const bool off = std::ranges::find(activities, Activity::sleeps_for_good) != activities.end();
    const bool on = std::ranges::find(activities, Activity::sleeps_uninterrupted) != activities.end();
    outcome.summary = "the guest halted";
    if (off) outcome.summary += fmt::format(" with interrupts off ({})", cpus_that(activities, Activity::sleeps_for_good));
    if (on) {
        outcome.summary += fmt::format("{} with interrupts on ({}), which nothing can raise", off ? " and" : "",
                                       cpus_that(activities, Activity::sleeps_uninterrupted));
    }
    return outcome;
}

}  // namespace asyncvm
