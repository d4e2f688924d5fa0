#include "block/engine.hpp"

#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <utility>

namespace asyncvm::block {

namespace {

/// Asio closes what it watches.
int duplicate(int fd) {
    const int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) throw Error(ErrorKind::host, fmt::format("cannot watch a disk's transfers: {}", reason(errno)));
    return copy;
}

}  // namespace

Runner::Runner(asio::io_context& loop, std::unique_ptr<Engine> engine)
    : loop_(loop), engine_(std::move(engine)), descriptor_(loop, duplicate(engine_->descriptor())) {}

bool Runner::start(const std::shared_ptr<Job>& job) {
    if (!engine_->start(*job)) return false;
    job->self = job;
    ++under_way_;
    submit_later();
    listen();
    return true;
}

/// Once for all that are started before the loop gets back to its work.
void Runner::submit_later() {
    if (std::exchange(submitting_, true)) return;
    asio::post(loop_, [runner = shared_from_this()] {
        runner->submitting_ = false;
        if (!runner->engine_->submit()) runner->submit_later();
    });
}

// It starts the job itself: if it did so before, a coroutine that is cancelled already would never get to the guard.
awaitable<bool> Runner::run(std::shared_ptr<Job> job) {
    struct Guard {
        Guard(Runner& r, const Job& j) : runner(r), waited_for(j) {}
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() {
            if (!waited_for.finished) runner.wait_for(waited_for);
        }
        Runner& runner;
        const Job& waited_for;
    };
    if (!start(job)) co_return false;
    const Guard guard(*this, *job);
    co_await job->wait_to_end();
    co_return true;
}

void Runner::listen() {
    if (std::exchange(listening_, true)) return;
    descriptor_.async_wait(asio::posix::stream_descriptor::wait_read, [runner = shared_from_this()](std::error_code error) {
        runner->listening_ = false;
        if (error) return;
        runner->collect();
        if (runner->under_way_ != 0) runner->listen();
    });
}

void Runner::collect() {
    engine_->reap([this](Job& job) {
        --under_way_;
        const auto self = std::move(job.self);
        job.finished = true;
        job.complete();
    });
}

void Runner::wait_for(const Job& job) noexcept {
    engine_->submit();
    while (!job.finished) {
        engine_->wait();
        collect();
    }
}

}  // namespace asyncvm::block
