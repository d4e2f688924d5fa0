#include "machine/background.hpp"

#include <asyncvm/event.hpp>

#include <fmt/format.h>

#include <exception>
#include <system_error>
#include <utility>

namespace asyncvm {

using namespace std::chrono_literals;

struct Background::Job {
    std::string name;
    asio::cancellation_signal cancel;
    Event ended;
    bool running = true;
    bool cancelled = false;

    void stop() {
        cancelled = true;
        cancel.emit(asio::cancellation_type::terminal);
    }
};

namespace {

void log_failure(const Log& log, const std::string& name, const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        log(fmt::format("the background work of {} failed: {}", name, error.what()));
    } catch (...) {
        log(fmt::format("the background work of {} failed", name));
    }
}

}  // namespace

awaitable<void> own([[maybe_unused]] std::shared_ptr<void> owner, awaitable<void> given) {
    auto work = std::move(given);
    co_await std::move(work);
}

Background::Background(asio::io_context& device_loop, Log log, std::shared_ptr<void> owner)
    : device_loop_(device_loop), log_(std::move(log)), owner_(std::move(owner)) {}

void Background::start(std::string name, awaitable<void> work) {
    const auto job = std::make_shared<Job>();
    job->name = std::move(name);
    jobs_.push_back(job);
    asio::co_spawn(device_loop_, own(owner_, std::move(work)),
                   asio::bind_cancellation_slot(job->cancel.slot(), [job, log = log_](std::exception_ptr failure) {
                       job->running = false;
                       if (failure && !job->cancelled) log_failure(log, job->name, failure);
                       job->ended.notify();
                   }));
}

awaitable<void> Background::finish() {
    for (const auto& job : jobs_) {
        if (job->running) job->stop();
    }
    for (const auto& job : jobs_) {
        const auto seen = job->ended.generation();
        if (!job->running) continue;
        const bool ended = co_await job->ended.wait(seen, 500ms);
        if (!ended) log_(fmt::format("the background work of {} does not end when it is cancelled", job->name));
    }
}

}  // namespace asyncvm
