/// The way to one device that lives on the device loop.
#pragma once

#include <asyncvm/access.hpp>
#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>

#include "bus/ioevent.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace asyncvm {

/// A coroutine on the device loop that makes one access after the other, and is woken through an eventfd. That is cheaper
/// than to post to the loop, because Asio wakes a loop with its mutex held, and the loop then waits for that mutex.
class DeviceLoopDispatcher : public std::enable_shared_from_this<DeviceLoopDispatcher> {
public:
    /// Throws Error(host) if the process has no descriptor left.
    DeviceLoopDispatcher(asio::io_context& device_loop, std::shared_ptr<Device> device);

    /// Carries `transaction` out on the device loop and suspends the calling coroutine, on any executor, until it is
    /// answered. The device works on copies: when the caller is cancelled, so is the access, and an answer that comes later
    /// is discarded. Throws what the device has thrown, and operation_aborted when it is cancelled.
    [[nodiscard]] awaitable<void> access_device(Access access, Transaction& transaction);

    /// Before the first access: an access keeps `owner` alive, also one whose caller has been cancelled.
    void keep_during_accesses(std::weak_ptr<void> owner) noexcept { owner_ = std::move(owner); }

    /// Before the first access: `watcher` is told on the device loop of each access that begins, and that it is answered. It
    /// may be called for as long as the owner lives.
    void watch(std::function<void(bool begins)> watcher) { watcher_ = std::move(watcher); }

    /// After the last access: ends the coroutine, for as long as which the loop has work. Any thread.
    void close() noexcept;

private:
    struct Request;
    void enter(const std::shared_ptr<Request>& request);
    void cancel(const std::shared_ptr<Request>& request);
    [[nodiscard]] static awaitable<void> serve(std::shared_ptr<DeviceLoopDispatcher> self);
    [[nodiscard]] std::shared_ptr<Request> after(const std::shared_ptr<Request>& served);
    [[nodiscard]] bool serves(const std::shared_ptr<Request>& request);
    [[nodiscard]] bool closing();

    asio::io_context& device_loop_;
    const std::shared_ptr<Device> device_;
    std::weak_ptr<void> owner_;  ///< of what the device works with
    std::function<void(bool begins)> watcher_;
    EventFd requested_;
    std::mutex mutex_;
    std::deque<std::shared_ptr<Request>> requests_;  ///< the first one is with the device
    bool serving_ = false;
    bool closing_ = false;
    asio::cancellation_signal cancel_;  ///< device loop
};

}  // namespace asyncvm
