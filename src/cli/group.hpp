/// Coroutines that run side by side.
#pragma once

#include <asyncvm/asio.hpp>

#include <cstdint>
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

    void start(awaitable<std::uint64_t> work);

    /// Until none runs. The sum of what they have returned since the last time; those that were cancelled count as 0. Throws
    /// what the first that failed has thrown.
    [[nodiscard]] awaitable<std::uint64_t> wait();

    /// Cancels those that still run.
    void cancel();

private:
    struct State;
    asio::io_context& loop_;
    std::shared_ptr<State> state_;
};

}  // namespace asyncvm::cli
