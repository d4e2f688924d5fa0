/// Coroutines that run side by side.
#pragma once

#include <asyncvm/asio.hpp>

#include <memory>

namespace asyncvm::cli {

/// Starts coroutines on the device loop and waits for all of them. All functions on the device loop's thread.
class Group {
public:
    explicit Group(asio::io_context& loop);
    /// Coroutines that still run are cancelled.
    ~Group();
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    void start(awaitable<void> work);

    /// Until none runs. Throws what the first that failed has thrown; to be cancelled is no failure.
    [[nodiscard]] awaitable<void> wait();

    /// Cancels those that still run.
    void cancel();

private:
    struct State;
    asio::io_context& loop_;
    std::shared_ptr<State> state_;
};

}  // namespace asyncvm::cli
