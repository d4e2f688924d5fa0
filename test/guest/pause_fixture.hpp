/// A machine that a test pauses, resets and asks for work, and a device that shows whether the guest moves.
#pragma once

#include <asyncvm/event.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>

#include "machine_fixture.hpp"

namespace asyncvm::test {

using namespace std::chrono_literals;

/// Counts writes, and background steps that the machine's gate and clock let through.
class Counting : public Device {
public:
    std::string_view name() const noexcept override { return "counting"; }
    void attached(const DeviceContext& context) override { context_.emplace(context); }
    awaitable<void> write(const Access& access) override {
        if (on_write) on_write(access.data);
        last = access.data;
        ++writes;
        written.notify();
        co_return;
    }
    awaitable<void> read(Access&) override { co_return; }
    awaitable<void> run() override {
        for (;;) {
            co_await context_->clock.wait_until(context_->clock.now() + 100us);
            co_await PauseGate::passed(context_->gate);
            ++steps;
            stepped.notify();
        }
    }
    void reset() override {
        reset_on = std::this_thread::get_id();
        ++resets;
    }
    [[nodiscard]] MachineClock& clock() { return context_->clock; }
    [[nodiscard]] const DeviceContext& context() const { return *context_; }

    std::function<void(std::uint64_t)> on_write;  ///< set before the guest writes; vCPU's thread
    std::atomic<unsigned> writes = 0;
    std::atomic<std::uint64_t> last = 0;
    std::atomic<unsigned> steps = 0;
    std::atomic<unsigned> resets = 0;
    std::thread::id reset_on;
    Event written;
    Event stepped;

private:
    std::optional<DeviceContext> context_;
};

struct Fixture {
    asio::io_context loop{1};
    TestMachine test;
    std::shared_ptr<Counting> device = std::make_shared<Counting>();

    /// On a busy host a vCPU may take long to its rest; only a test whose device holds an access open wants little patience.
    explicit Fixture(std::chrono::milliseconds with = patience)
        : test(loop, 1, make_accelerator_under_test(), [with](MachineConfig& config) {
              config.cancellation_patience = with;
              config.resettable = true;
          }) {
        test.machine.ports().attach({0x10, 1}, device);
    }

    /// Runs the loop until `work` has ended, and throws what it throws.
    void await(awaitable<void> work) {
        bool ended = false;
        std::exception_ptr failure;
        asio::co_spawn(loop, std::move(work), [&](std::exception_ptr e) {
            failure = e;
            ended = true;
        });
        until([&] { return ended; });
        if (failure) std::rethrow_exception(failure);
    }

    void until(const std::function<bool()>& condition) {
        loop.restart();
        const auto limit = std::chrono::steady_clock::now() + patience;
        while (!condition() && std::chrono::steady_clock::now() < limit) loop.run_one_for(10ms);
        BOOST_REQUIRE(condition());
    }

    [[nodiscard]] Pause pause() {
        std::optional<Pause> held;
        const auto work = [](Machine& machine, std::optional<Pause>& to) -> awaitable<void> {
            to.emplace(co_await machine.pause());
        };
        await(work(test.machine, held));
        return std::move(*held);
    }

    void stop() {
        test.machine.stop();
        until([&] { return test.outcome || test.failure; });
        BOOST_TEST(!test.failure);
    }
};

struct Impatient : Fixture {
    Impatient() : Fixture(20ms) {}
};

}  // namespace asyncvm::test
