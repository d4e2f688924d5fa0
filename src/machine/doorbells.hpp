/// The doorbells of a machine's devices, and the coroutines that answer them.
#pragma once

#include <asyncvm/accelerator.hpp>
#include <asyncvm/asio.hpp>

#include "bus/ioevent.hpp"
#include "machine/background.hpp"
#include "machine/observers.hpp"

#include <chrono>
#include <memory>
#include <vector>

namespace asyncvm {

class CoalescedWrites;

/// Device loop.
class Doorbells {
public:
    /// `coalesced` may be null. What it gets outlives the object's jobs, which end with finish() or with `background`.
    Doorbells(Accelerator& accelerator, std::vector<std::shared_ptr<IoEvent>> ioevents,
              std::shared_ptr<CoalescedWrites> coalesced, const Observers& observers);

    /// Has KVM ring the ioevents where it can (elsewhere the bus does), and answers them as jobs of `background`.
    void start(Background& background);

    /// No vCPU runs any more: completes when the ioevents that have been rung are answered, or after `limit`.
    [[nodiscard]] awaitable<void> finish(std::chrono::milliseconds limit);

private:
    struct Job;
    [[nodiscard]] IoEvent::Connector connector(Space space) const;
    [[nodiscard]] static awaitable<void> answer(std::shared_ptr<Job> job, std::shared_ptr<CoalescedWrites> coalesced,
                                                const Observers& observers);

    Accelerator& accelerator_;
    std::vector<std::shared_ptr<Job>> jobs_;
    std::shared_ptr<CoalescedWrites> coalesced_;
    const Observers& observers_;
};

}  // namespace asyncvm
