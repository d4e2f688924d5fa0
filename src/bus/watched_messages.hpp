/// Messages (MSI) between a device and a machine's interrupt controller, with somebody who hears of them.
#pragma once

#include <asyncvm/interrupt_controller.hpp>

#include <functional>
#include <utility>

namespace asyncvm {

/// Passes everything on to `machine`, which must outlive it. Those messages are heard that are signalled; what an irqfd
/// delivers is not, because it passes no code of this process.
class WatchedMessages final : public InterruptController {
public:
    /// Called before the message is delivered, on the thread that signals it. Must not throw.
    using Hear = std::function<void(const MsiMessage& message)>;

    WatchedMessages(InterruptController& machine, Hear hear) : machine_(machine), hear_(std::move(hear)) {}

    void connect(unsigned gsi) noexcept override { machine_.connect(gsi); }
    void set(unsigned gsi, bool level) noexcept override { machine_.set(gsi, level); }
    void expect_messages() noexcept override { machine_.expect_messages(); }
    bool signal(const MsiMessage& message) noexcept override {
        hear_(message);
        return machine_.signal(message);
    }
    void attach_irqfd(unsigned gsi, int eventfd, int resample_fd) override {
        machine_.attach_irqfd(gsi, eventfd, resample_fd);
    }
    void detach_irqfd(unsigned gsi, int eventfd) noexcept override { machine_.detach_irqfd(gsi, eventfd); }
    void route(unsigned gsi, const MsiMessage& message) override { machine_.route(gsi, message); }

private:
    InterruptController& machine_;
    const Hear hear_;
};

}  // namespace asyncvm
