#include "cli/group.hpp"

#include <asyncvm/event.hpp>

#include <exception>
#include <list>
#include <system_error>
#include <utility>

namespace asyncvm::cli {

namespace {

bool is_cancellation(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::system_error& error) {
        return error.code() == asio::error::operation_aborted;
    } catch (...) {
        return false;
    }
}

}  // namespace

/// Shared with the coroutines' completion handlers, which may come when the group is gone.
struct Group::State {
    Event changed;
    std::exception_ptr failure;
    std::list<asio::cancellation_signal> running;

    void ended(std::list<asio::cancellation_signal>::iterator signal, const std::exception_ptr& error) {
        running.erase(signal);
        if (error && !failure && !is_cancellation(error)) failure = error;
        changed.notify();
    }
};

Group::Group(asio::io_context& loop) : loop_(loop), state_(std::make_shared<State>()) {}

Group::~Group() { cancel(); }

void Group::start(awaitable<void> work) {
    const auto signal = state_->running.emplace(state_->running.end());
    asio::co_spawn(loop_, std::move(work),
                   asio::bind_cancellation_slot(
                       signal->slot(), [state = state_, signal](std::exception_ptr error) { state->ended(signal, error); }));
}

awaitable<void> Group::wait() {
    for (;;) {
        const auto seen = state_->changed.generation();
        if (state_->running.empty()) break;
        co_await state_->changed.wait(seen);
    }
    if (const auto failure = std::exchange(state_->failure, nullptr)) std::rethrow_exception(failure);
}

void Group::cancel() {
    // A coroutine that is cancelled ends later, on the loop: the list does not change meanwhile.
    for (auto& signal : state_->running) signal.emit(asio::cancellation_type::terminal);
}

}  // namespace asyncvm::cli
