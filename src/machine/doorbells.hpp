/// The doorbells of a machine's devices, and who answers them.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/bus.hpp>

#include "machine/background.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace asyncvm {

class Posting;

/// Device loop.
class Doorbells {
public:
    /// `posting` may be null. What it gets outlives the object's jobs, which end with finish() or with `background`.
    Doorbells(Accelerator& accelerator, std::vector<std::shared_ptr<Bell>> bells, std::shared_ptr<Posting> posting);

    /// Has KVM ring the bells where it can (elsewhere the bus does), and answers them as jobs of `background`.
    void start(Background& background);

    /// No vCPU runs any more: completes when the bells that have been rung are answered, or after `limit`.
    [[nodiscard]] awaitable<void> finish(std::chrono::milliseconds limit);

private:
    struct Job;
    [[nodiscard]] static awaitable<void> answer(std::shared_ptr<Job> job, std::shared_ptr<Posting> posting);

    Accelerator& accelerator_;
    std::vector<std::shared_ptr<Job>> jobs_;
    std::shared_ptr<Posting> posting_;
};

}  // namespace asyncvm
