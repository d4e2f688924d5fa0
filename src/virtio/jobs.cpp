#include "virtio/jobs.hpp"

#include <utility>
#include <vector>

namespace asyncvm::virtio {

struct Jobs::Job {
    asio::cancellation_signal cancel;
    bool cancelled = false;
};

struct Jobs::State {
    std::vector<std::shared_ptr<Job>> jobs;
    Event one_ended;
};

namespace {

/// `work`, whose frame goes before `owner` does.
awaitable<void> job_of([[maybe_unused]] std::shared_ptr<void> owner, awaitable<void> given, asio::io_context& loop) {
    auto work = std::move(given);
    // Who starts it goes on first.
    co_await asio::post(loop, use_awaitable);
    co_await std::move(work);
}

}  // namespace

Jobs::Jobs(asio::io_context& loop) : loop_(loop), state_(std::make_shared<State>()) {}

void Jobs::start(std::shared_ptr<void> owner, awaitable<void> work, Ended ended) {
    const auto job = std::make_shared<Job>();
    state_->jobs.push_back(job);
    auto on_end = [state = state_, job, ended = std::move(ended)](std::exception_ptr failure) {
        std::erase(state->jobs, job);
        ended(failure, job->cancelled);
        state->one_ended.notify();
    };
    asio::co_spawn(loop_, job_of(std::move(owner), std::move(work), loop_),
                   asio::bind_cancellation_slot(job->cancel.slot(), std::move(on_end)));
}

std::size_t Jobs::size() const noexcept { return state_->jobs.size(); }

void Jobs::cancel() {
    // A job that ends meanwhile leaves the list.
    const auto jobs = state_->jobs;
    for (const auto& job : jobs) {
        job->cancelled = true;
        job->cancel.emit(asio::cancellation_type::terminal);
    }
}

awaitable<void> Jobs::ended() const {
    const auto state = state_;
    for (;;) {
        const auto seen = state->one_ended.generation();
        if (state->jobs.empty()) co_return;
        co_await state->one_ended.wait(seen);
    }
}

}  // namespace asyncvm::virtio
