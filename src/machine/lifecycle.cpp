#include "machine/lifecycle.hpp"

#include <utility>

namespace asyncvm {

void Lifecycle::prepare() noexcept {
    if (state_ == State::made) state_ = State::prepared;
}

Lifecycle::Run Lifecycle::run() noexcept {
    if (std::exchange(run_, true)) return Run::forbidden;
    if (finished_) {
        state_ = State::winding_down;
    } else {
        state_ = pauses_ == 0 ? State::running : State::pausing;
    }
    return Run::begins;
}

Lifecycle::Pause Lifecycle::pause() noexcept {
    ++pauses_;
    switch (state_) {
        case State::running:
            state_ = State::pausing;
            return Pause::begins;
        case State::pausing:
        case State::winding_down:
            return Pause::joins;
        default:
            return Pause::at_rest;
    }
}

bool Lifecycle::paused() noexcept {
    if (state_ == State::paused) return true;
    if (state_ != State::pausing) return false;
    state_ = State::paused;
    return true;
}

bool Lifecycle::resume() noexcept {
    if (pauses_ == 0 || --pauses_ > 0) return false;
    if (state_ != State::pausing && state_ != State::paused) return false;
    state_ = State::running;
    return true;
}

bool Lifecycle::finish() noexcept {
    if (std::exchange(finished_, true)) return false;
    if (run_ && state_ != State::ended) state_ = State::winding_down;
    return true;
}

}  // namespace asyncvm
