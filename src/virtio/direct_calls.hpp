/// The interrupts of rings that another process serves, without a step through this one: the eventfds that it signals are
/// connected to the interrupt controller (irqfd).
#pragma once

#include <asyncvm/interrupt_controller.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace asyncvm::virtio {

/// One call at a time.
class DirectCalls {
public:
    DirectCalls() = default;
    /// `eventfds` are the queues', -1 for one that has none. Queue n gets line `first_line` + n, if that is one of `lines`.
    DirectCalls(InterruptController& controller, const std::vector<int>& eventfds, unsigned first_line, unsigned lines);
    DirectCalls(const DirectCalls&) = delete;
    DirectCalls& operator=(const DirectCalls&) = delete;
    DirectCalls(DirectCalls&&) noexcept = default;
    DirectCalls& operator=(DirectCalls&&) noexcept = default;

    /// No queue can have any.
    [[nodiscard]] bool empty() const noexcept { return calls_.empty(); }

    /// `messages`: what each queue interrupts by from now on; nothing: its eventfd is not connected, and someone else has to
    /// hear it. Throws Error(host) if the controller refuses: then none is connected, now and later.
    void set(const std::vector<std::optional<MsiMessage>>& messages);

private:
    struct Call {
        int eventfd = -1;
        std::optional<MsiMessage> message{};  ///< while it is connected
        std::optional<MsiMessage> route{};    ///< of its line, once it has one
    };
    void set(std::size_t queue, const std::optional<MsiMessage>& message);
    void disconnect(std::size_t queue) noexcept;

    InterruptController* controller_ = nullptr;
    unsigned first_line_ = 0;
    std::vector<Call> calls_;
};

}  // namespace asyncvm::virtio
