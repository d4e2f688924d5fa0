/// The machine as those see it who look at it for a person.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/interrupt_state.hpp>
#include <asyncvm/machine.hpp>
#include <asyncvm/registers.hpp>

#include <optional>

namespace asyncvm::monitor {

/// Device loop. A debugger has its own: what it has changed in registers is not in the vCPU yet.
class View {
public:
    explicit View(Machine& machine) noexcept : machine_(machine) {}
    View(const View&) = delete;
    View& operator=(const View&) = delete;
    virtual ~View() = default;

    [[nodiscard]] Machine& machine() const noexcept { return machine_; }

    /// `cpu` is one of the machine's.
    [[nodiscard]] virtual awaitable<Registers> registers(unsigned cpu);
    /// Nothing: the accelerator has no interrupt controllers.
    [[nodiscard]] virtual awaitable<std::optional<InterruptState>> interrupts(unsigned cpu);

private:
    Machine& machine_;
};

}  // namespace asyncvm::monitor
