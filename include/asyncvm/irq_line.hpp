/// Interrupt request lines: a device drives a line, an interrupt controller (or a test) reads the pin.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <functional>
#include <memory>

namespace asyncvm {

/// An interrupt input that several lines may drive: its level is the OR of theirs.
class IrqPin {
public:
    /// `sink` is called with the new level each time that it changes, under this pin's lock, on the thread that changed it.
    explicit IrqPin(std::function<void(bool)> sink);
    ~IrqPin();
    IrqPin(const IrqPin&) = delete;
    IrqPin& operator=(const IrqPin&) = delete;

    [[nodiscard]] bool level() const noexcept;

private:
    friend class IrqLine;
    struct State;
    std::shared_ptr<State> state_;
};

/// One driver of a pin. A default-constructed line is connected to nothing. The destructor deasserts.
class IrqLine {
public:
    IrqLine() noexcept = default;
    explicit IrqLine(IrqPin& pin);
    ~IrqLine();
    IrqLine(IrqLine&& other) noexcept;
    IrqLine& operator=(IrqLine&& other) noexcept;

    /// Any thread. Setting the level that the line already has does nothing.
    void set(bool level) noexcept;

    [[nodiscard]] bool level() const noexcept { return level_; }

private:
    std::shared_ptr<IrqPin::State> state_;
    bool level_ = false;
};

}  // namespace asyncvm
