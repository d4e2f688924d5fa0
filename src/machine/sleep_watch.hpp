/// When a machine whose vCPUs do not come back from the accelerator has ended: all of them sleep, and nothing can wake one.
/// Pure.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/outcome.hpp>

#include <chrono>
#include <span>
#include <vector>

namespace asyncvm {

/// With an interrupt controller in the kernel HLT is no exit. To ask a vCPU costs an exit, to look at its thread's processor
/// time costs nothing: one that has slept since the last look has used none.
class SleepWatch {
public:
    using Time = std::chrono::nanoseconds;

    /// The time until the next look: short at first, for guests that end soon, longer the longer the guest runs.
    [[nodiscard]] std::chrono::milliseconds interval() const noexcept { return interval_; }

    /// One look: the processor time of each vCPU's thread, and whether it is in the guest. True: none has moved since the
    /// last look, so that it pays to ask them.
    [[nodiscard]] bool look(std::span<const Time> used, bool all_in_guest);

    /// What they answered was no reason to end.
    void asked(std::span<const Time> used);

    /// Whether vCPUs that do this can never go on.
    [[nodiscard]] static bool is_over(std::span<const Activity> activities) noexcept;

private:
    std::vector<Time> used_;
    std::chrono::milliseconds interval_{10};
};

/// Of a machine whose vCPUs have all halted, what a person wants to know: "the guest halted with interrupts off (vCPU 0)".
[[nodiscard]] Outcome halted_outcome(std::span<const Activity> activities);

}  // namespace asyncvm
