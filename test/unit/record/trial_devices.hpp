/// Devices that are recorded, and what they send messages to.
#pragma once

#include <asyncvm/device.hpp>
#include <asyncvm/device_context.hpp>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace asyncvm {

/// Reads 1, 2, 3, …; a write of n raises its interrupt after n nanoseconds and lowers it with the next one; 0 throws.
class Trial final : public Device {
public:
    std::string_view name() const noexcept override { return "trial"; }
    unsigned max_access_size() const noexcept override { return 4; }
    std::vector<Doorbell> doorbells() const override { return {{.offset = 4, .size = 2}}; }

    void attached(const DeviceContext& context) override {
        clock_ = &context.clock;
        line_ = context.irq(5);
        interrupts_ = context.interrupts;
    }

    awaitable<void> write(const Access& access) override {
        if (access.data == 0) throw std::runtime_error("nothing to do");
        line_.set(false);
        co_await clock_->wait_until(clock_->now() + std::chrono::nanoseconds(access.data));
        line_.set(true);
    }

    awaitable<void> read(Access& access) override {
        access.data = ++next_;
        co_return;
    }

    awaitable<void> rung(std::size_t) override {
        if (interrupts_ != nullptr) interrupts_->signal({.address = 0xfee0'0000, .data = 0x41});
        co_return;
    }

    void reset() override { next_ = 0; }

private:
    MachineClock* clock_ = nullptr;
    IrqLine line_;
    InterruptController* interrupts_ = nullptr;
    std::uint64_t next_ = 0;
};

/// Reads 0, 1, 2, …, and its line changes again and again.
class Ticking final : public Device {
public:
    std::string_view name() const noexcept override { return "ticking"; }
    void attached(const DeviceContext& context) override { line_ = context.irq(4); }
    awaitable<void> write(const Access&) override { co_return; }

    awaitable<void> read(Access& access) override {
        access.data = reads_++;
        co_return;
    }

    awaitable<void> run() override {
        const auto executor = co_await asio::this_coro::executor;
        for (bool level = true;; level = !level) {
            line_.set(level);
            co_await asio::post(executor, use_awaitable);
            const auto state = co_await asio::this_coro::cancellation_state;
            if (state.cancelled() != asio::cancellation_type::none) break;
        }
    }

private:
    IrqLine line_;
    std::uint64_t reads_ = 0;
};

class Messages final : public InterruptController {
public:
    void set(unsigned, bool) noexcept override {}
    void expect_messages() noexcept override { expected = true; }
    bool signal(const MsiMessage& message) noexcept override {
        sent.push_back(message.data);
        return true;
    }
    void attach_irqfd(unsigned, int, int) override {}
    void detach_irqfd(unsigned, int) noexcept override {}
    void route(unsigned, const MsiMessage&) override {}

    bool expected = false;
    std::vector<std::uint32_t> sent;
};

}  // namespace asyncvm
