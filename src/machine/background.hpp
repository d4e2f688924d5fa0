/// The background work of a machine's devices on the device loop.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/log.hpp>

#include <memory>
#include <vector>

namespace asyncvm {

/// Device loop. The coroutines keep what they need alive, also past this object.
class Background {
public:
    Background(asio::io_context& device_loop, Log log);
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    /// Starts device->run(), once for each device. An exception that it ends with is told on the log.
    void start(std::shared_ptr<Device> device);

    /// Cancels all of it and completes when it has ended, or after half a second.
    [[nodiscard]] awaitable<void> finish();

private:
    struct Job;
    asio::io_context& device_loop_;
    Log log_;
    std::vector<std::shared_ptr<Job>> jobs_;
};

}  // namespace asyncvm
