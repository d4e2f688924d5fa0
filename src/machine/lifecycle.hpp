/// The states of a machine and what each request does in them. Pure.
#pragma once

#include <cstdint>

namespace asyncvm {

/// made → prepared → running ⇄ paused → winding down → ended. stop(), finish() and the destruction of the handle are one
/// request here, `finish`. Not for several threads at once: the machine calls it under its mutex.
class Lifecycle {
public:
    enum class State : std::uint8_t {
        made,          ///< there may be no accelerator yet
        prepared,      ///< the vCPUs are there; the guest has not begun
        running,       ///< the guest runs
        pausing,       ///< a pause was asked for; vCPUs and devices are on their way into it
        paused,        ///< nothing moves
        winding_down,  ///< there is an outcome; vCPUs and devices are ending
        ended,         ///< run() has nothing left to do
    };

    enum class Run : std::uint8_t {
        begins,     ///< the caller runs the guest
        forbidden,  ///< it runs or has run already
    };

    enum class Pause : std::uint8_t {
        begins,   ///< the caller brings the vCPUs and the devices to rest, then says paused()
        joins,    ///< another caller does: wait until moving() is false
        at_rest,  ///< nothing moves anyway
    };

    [[nodiscard]] State state() const noexcept { return state_; }

    /// Whether the guest or a device may change the machine's state.
    [[nodiscard]] bool moving() const noexcept {
        return state_ == State::running || state_ == State::pausing || state_ == State::winding_down;
    }

    /// Pauses that are held.
    [[nodiscard]] unsigned pauses() const noexcept { return pauses_; }

    /// The accelerator and the vCPUs are there.
    void prepare() noexcept;

    /// A machine that was told to stop before runs all the same, and ends at once.
    [[nodiscard]] Run run() noexcept;

    /// One holder more.
    [[nodiscard]] Pause pause() noexcept;

    /// What Pause::begins promised has been done. False: the machine ends instead, or no pause is held any more.
    bool paused() noexcept;

    /// One holder less. True: it was the last one and the guest goes on.
    [[nodiscard]] bool resume() noexcept;

    /// False where there is nothing to reset: before the guest has begun, and after it has ended. Only in a pause.
    [[nodiscard]] bool reset() const noexcept { return state_ == State::paused; }

    /// The run gets its outcome. True the first time, and before the run as well.
    [[nodiscard]] bool finish() noexcept;

    /// run() is done.
    void end() noexcept { state_ = State::ended; }

private:
    State state_ = State::made;
    bool run_ = false;       ///< run() was called
    bool finished_ = false;  ///< finish() was called
    unsigned pauses_ = 0;
};

}  // namespace asyncvm
