#include "machine/doorbells.hpp"

#include <asyncvm/event.hpp>

#include <fmt/format.h>

#include <utility>

#include "bus/bell.hpp"
#include "machine/posting.hpp"

namespace asyncvm {

struct Doorbells::Job {
    explicit Job(std::shared_ptr<Bell> b) : bell(std::move(b)) {}
    std::shared_ptr<Bell> bell;
    bool ending = false;  ///< one ring is finish()'s own
    bool ended = false;
    Event end;
};

Doorbells::Doorbells(Accelerator& accelerator, std::vector<std::shared_ptr<Bell>> bells, std::shared_ptr<Posting> posting)
    : accelerator_(accelerator), posting_(std::move(posting)) {
    for (auto& bell : bells) jobs_.push_back(std::make_shared<Job>(std::move(bell)));
}

void Doorbells::start(Background& background) {
    for (const auto& job : jobs_) {
        const Doorbell& doorbell = job->bell->doorbell();
        accelerator_.connect_doorbell(job->bell->space(), job->bell->address(), doorbell, job->bell->eventfd());
        background.start(fmt::format("device {}", job->bell->device().name()), answer(job, posting_));
    }
}

awaitable<void> Doorbells::answer(std::shared_ptr<Job> job, std::shared_ptr<Posting> posting) {
    for (;;) {
        auto times = co_await job->bell->heard();
        if (job->ending) --times;
        // What the guest has written before it rang.
        if (posting && posting->pending()) co_await posting->drain();
        if (times > 0) co_await job->bell->device().rung(job->bell->index());
        if (job->ending) break;
    }
    job->ended = true;
    job->end.notify();
}

awaitable<void> Doorbells::finish(std::chrono::milliseconds limit) {
    for (const auto& job : jobs_) {
        job->ending = true;
        job->bell->ring();
    }
    for (const auto& job : jobs_) {
        const auto seen = job->end.generation();
        if (!job->ended) co_await job->end.wait(seen, limit);
    }
}

}  // namespace asyncvm
