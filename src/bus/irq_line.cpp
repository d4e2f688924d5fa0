#include <asyncvm/irq_line.hpp>

#include <mutex>
#include <utility>

namespace asyncvm {

/// Shared by a pin and its lines, so that either may go first.
struct IrqPin::State {
    explicit State(std::function<void(bool)> s) : sink(std::move(s)) {}

    std::mutex mutex;
    std::function<void(bool)> sink;  // empty once the pin is gone
    unsigned asserted = 0;           // lines that are high
};

IrqPin::IrqPin(std::function<void(bool)> sink) : state_(std::make_shared<State>(std::move(sink))) {}

IrqPin::~IrqPin() {
    const std::lock_guard lock(state_->mutex);
    state_->sink = nullptr;
}

bool IrqPin::level() const noexcept {
    const std::lock_guard lock(state_->mutex);
    return state_->asserted > 0;
}

IrqLine::IrqLine(IrqPin& pin) : state_(pin.state_) {}

IrqLine::~IrqLine() { set(false); }

IrqLine::IrqLine(IrqLine&& other) noexcept : state_(std::move(other.state_)), level_(std::exchange(other.level_, false)) {}

IrqLine& IrqLine::operator=(IrqLine&& other) noexcept {
    if (this != &other) {
        set(false);
        state_ = std::move(other.state_);
        level_ = std::exchange(other.level_, false);
    }
    return *this;
}

void IrqLine::set(bool level) noexcept {
    if (!state_) {
        level_ = level;
        return;
    }
    const std::lock_guard lock(state_->mutex);
    if (level == level_) return;
    level_ = level;
    const bool before = state_->asserted > 0;
    state_->asserted += level ? 1U : 0U;
    state_->asserted -= level ? 0U : 1U;
    const bool after = state_->asserted > 0;
    if (before != after && state_->sink) state_->sink(after);
}

}  // namespace asyncvm
