/// The shell around registers whose interrupt comes with time, not by accesses alone: one reading of the machine's clock an
/// action, a line that follows, and a sleeper that waits for the next edge.
#pragma once

#include <asyncvm/device_context.hpp>

#include <algorithm>
#include <chrono>
#include <concepts>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

namespace asyncvm {

/// What is asked of the registers. They are pure: a time is what they are given as `Now`. That is the time since power-on,
/// or an aggregate of the time of day since 1970 and that. next_interrupt() is the time from now until the line rises by
/// itself, nothing if it will not.
template <class Registers>
concept FollowsTime = requires(Registers registers, typename Registers::Now now) {
    { registers.interrupt_pending(now) } -> std::same_as<bool>;
    { registers.next_interrupt(now) } -> std::same_as<std::optional<std::chrono::nanoseconds>>;
};

/// Everything but run() may be called on any thread.
template <FollowsTime Registers>
class ClockedRegisters {
public:
    using Duration = std::chrono::nanoseconds;
    using Now = typename Registers::Now;

    /// Of a device: registers, and the time since power-on.
    struct Saved {
        Registers registers{};
        Duration running{};
    };

    /// Power-on, and before it no time passes. `irq` is the line's number.
    void attached(const DeviceContext& context, unsigned irq) {
        const std::lock_guard lock(mutex_);
        clock_ = &context.clock;
        gate_ = context.gate;
        line_ = context.irq(irq);
        started_ = clock_->now();
    }

    /// Returns what `action(registers, now)` does. The line then has the level of that `now`: a later one could bring an
    /// interrupt for which the line would not rise, because it has not fallen, or that nobody would wait for.
    template <class Action>
    auto act(Action action) {
        std::unique_lock lock(mutex_);
        const Moment at = moment();
        if constexpr (std::is_void_v<std::invoke_result_t<Action&, Registers&, const Now&>>) {
            action(registers_, at.now);
            settle(at, std::move(lock));
        } else {
            auto result = action(registers_, at.now);
            settle(at, std::move(lock));
            return result;
        }
    }

    /// The device's background work: sleeps until the next edge, without an end if there is none.
    [[nodiscard]] awaitable<void> run() {
        for (;;) {
            if (gate_) co_await PauseGate::passed(gate_);
            const auto seen = changed_.generation();
            const auto until = attend();
            if (until == never) {
                co_await changed_.wait(seen);
            } else {
                co_await clock_->wait(changed_, seen, until);
            }
        }
    }

    [[nodiscard]] Saved saved() {
        const std::lock_guard lock(mutex_);
        const Moment at = moment();
        publish(at);  // the registers note what has happened until now
        return {registers_, at.running};
    }

    /// `saved.running` may be anything.
    void restore(const Saved& saved) {
        std::unique_lock lock(mutex_);
        registers_ = saved.registers;
        if (clock_ != nullptr) started_ = clock_->now() - std::clamp(saved.running, Duration(0), longest_run);
        settle(moment(), std::move(lock));
    }

private:
    static constexpr Duration longest_run = std::chrono::hours(24) * 365 * 100;
    static constexpr auto never = MachineClock::time_point::max();

    struct Moment {
        Now now{};
        Duration running{};
    };

    /// The time since power-on is read first: a thread that is held up between the readings makes the sleeper wake too
    /// early, which it sees, and not too late.
    [[nodiscard]] Moment moment() const noexcept {
        if (clock_ == nullptr) return {};
        const Duration running = std::max(clock_->now() - started_, Duration(0));
        if constexpr (std::same_as<Now, Duration>) {
            return {running, running};
        } else {
            return {{clock_->time_of_day().time_since_epoch(), running}, running};
        }
    }

    void publish(const Moment& at) noexcept { line_.set(registers_.interrupt_pending(at.now)); }

    [[nodiscard]] MachineClock::time_point next_edge(const Moment& at) noexcept {
        if (clock_ == nullptr) return never;
        const auto next = registers_.next_interrupt(at.now);
        return next ? started_ + at.running + *next : never;
    }

    /// The end of an action: the sleeper hears of it if it waits for another time than it should.
    void settle(const Moment& at, std::unique_lock<std::mutex> lock) noexcept {
        publish(at);
        const bool wrong = next_edge(at) != awaited_;
        lock.unlock();
        if (wrong) changed_.notify();
    }

    [[nodiscard]] MachineClock::time_point attend() {
        const std::lock_guard lock(mutex_);
        const Moment at = moment();
        publish(at);
        return awaited_ = next_edge(at);
    }

    std::mutex mutex_;  ///< run() is on another thread than the accesses
    Registers registers_;
    MachineClock* clock_ = nullptr;
    MachineClock::time_point started_{};
    MachineClock::time_point awaited_ = never;  ///< what run() sleeps until
    std::shared_ptr<PauseGate> gate_;
    IrqLine line_;
    Event changed_;  ///< what run() waits for
};

}  // namespace asyncvm
