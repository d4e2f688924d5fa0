/// The sleep port: why devices are coroutines, in one line.
#pragma once

#include <asyncvm/device.hpp>
#include <asyncvm/sleep.hpp>

#include <chrono>

namespace asyncvm {

/// OUT of n answers after n microseconds. Only the vCPU that wrote waits, and it holds no thread of any other while it does;
/// stopping the machine cancels the wait. docs/devices/sleep.md
class SleepPort : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return "sleep"; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        co_await sleep_for(std::chrono::microseconds(access.data));
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = 0;
        co_return;
    }
};

}  // namespace asyncvm
