#include "monitor/view.hpp"

#include <functional>
#include <memory>
#include <utility>

namespace asyncvm::monitor {

// What is read is shared: the work may come when the wait for it has been given up.

awaitable<Registers> View::registers(unsigned cpu) {
    const auto found = std::make_shared<Registers>();
    std::function<void(Cpu&)> look = [found](Cpu& from) { *found = from.registers(); };
    co_await machine_.call(cpu, std::move(look));
    co_return *found;
}

awaitable<std::optional<InterruptState>> View::interrupts(unsigned cpu) {
    const auto found = std::make_shared<std::optional<InterruptState>>();
    std::function<void(Cpu&)> look = [found](Cpu& from) { *found = from.interrupt_state(); };
    co_await machine_.call(cpu, std::move(look));
    co_return *found;
}

}  // namespace asyncvm::monitor
