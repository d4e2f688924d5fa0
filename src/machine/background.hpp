/// The background work of a machine's devices on the device loop.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/log.hpp>

#include <memory>
#include <string>
#include <vector>

namespace asyncvm {

/// `work`, whose frame goes before `owner` does.
[[nodiscard]] awaitable<void> own(std::shared_ptr<void> owner, awaitable<void> work);

/// Device loop.
class Background {
public:
    /// Each piece of work keeps `owner` alive until it has ended.
    Background(asio::io_context& device_loop, Log log, std::shared_ptr<void> owner);
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    /// Starts `work`. An exception that ends it is logged: "the background work of NAME failed".
    void start(std::string name, awaitable<void> work);

    /// Cancels all of it and completes when it has ended, or after half a second.
    [[nodiscard]] awaitable<void> finish();

private:
    struct Job;

    asio::io_context& device_loop_;
    Log log_;
    std::shared_ptr<void> owner_;
    std::vector<std::shared_ptr<Job>> jobs_;
};

}  // namespace asyncvm
