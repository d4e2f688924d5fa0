/// Coroutines on the device loop that are cancelled together and waited for.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>

namespace asyncvm::virtio {

/// Device loop. The object may go before its coroutines have ended.
class Jobs {
public:
    explicit Jobs(asio::io_context& loop);

    /// Starts `work`, whose frame goes before `owner` does. `ended` is called on the device loop when it has ended: with
    /// what it has thrown, and whether it had been cancelled.
    using Ended = std::function<void(const std::exception_ptr& failure, bool cancelled)>;
    void start(std::shared_ptr<void> owner, awaitable<void> work, Ended ended);

    /// How many have not ended.
    [[nodiscard]] std::size_t size() const noexcept;

    /// Cancels all that run.
    void cancel();

    /// Completes when none runs.
    [[nodiscard]] awaitable<void> ended() const;

private:
    struct Job;
    struct State;
    asio::io_context& loop_;
    std::shared_ptr<State> state_;
};

}  // namespace asyncvm::virtio
