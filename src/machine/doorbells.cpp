#include "machine/doorbells.hpp"

#include <asyncvm/event.hpp>

#include <fmt/format.h>

#include <utility>

#include "machine/coalesced_writes.hpp"

namespace asyncvm {

struct Doorbells::Job {
    explicit Job(std::shared_ptr<IoEvent> b) : ioevent(std::move(b)) {}
    std::shared_ptr<IoEvent> ioevent;
    bool ending = false;  ///< one ring is finish()'s own
    bool ended = false;
    Event end;
};

Doorbells::Doorbells(Accelerator& accelerator, std::vector<std::shared_ptr<IoEvent>> ioevents,
                     std::shared_ptr<CoalescedWrites> coalesced, const Observers& observers)
    : accelerator_(accelerator), coalesced_(std::move(coalesced)), observers_(observers) {
    for (auto& ioevent : ioevents) jobs_.push_back(std::make_shared<Job>(std::move(ioevent)));
}

/// The accelerator outlives the buses, whose devices may ring and move until then.
IoEvent::Connector Doorbells::connector(Space space) const {
    Accelerator& accelerator = accelerator_;
    return {.connect = [&accelerator, space](
                           std::uint64_t address, const Doorbell& doorbell,
                           int eventfd) { return accelerator.connect_doorbell(space, address, doorbell, eventfd); },
            .disconnect = [&accelerator, space](
                              std::uint64_t address, const Doorbell& doorbell,
                              int eventfd) { accelerator.disconnect_doorbell(space, address, doorbell, eventfd); }};
}

void Doorbells::start(Background& background) {
    for (const auto& job : jobs_) {
        job->ioevent->connect(connector(job->ioevent->space()));
        if (!job->ioevent->is_answered_here()) continue;
        background.start(fmt::format("device {}", job->ioevent->device().name()), answer(job, coalesced_, observers_));
    }
    // Nobody here answers the others, so that finish() has nothing to wait for.
    std::erase_if(jobs_, [](const auto& job) { return !job->ioevent->is_answered_here(); });
}

awaitable<void> Doorbells::answer(std::shared_ptr<Job> job, std::shared_ptr<CoalescedWrites> coalesced,
                                  const Observers& observers) {
    for (;;) {
        auto times = co_await job->ioevent->heard();
        if (job->ending) --times;
        // What the guest has written before it rang.
        if (coalesced && coalesced->pending()) co_await coalesced->drain();
        if (times > 0) {
            observers.notify(&Observer::doorbell, job->ioevent->device().name(), times);
            co_await job->ioevent->answer();
        }
        if (job->ending) break;
    }
    job->ended = true;
    job->end.notify();
}

awaitable<void> Doorbells::finish(std::chrono::milliseconds limit) {
    for (const auto& job : jobs_) {
        job->ending = true;
        job->ioevent->signal();
    }
    for (const auto& job : jobs_) {
        const auto seen = job->end.generation();
        if (!job->ended) co_await job->end.wait(seen, limit);
    }
}

}  // namespace asyncvm
