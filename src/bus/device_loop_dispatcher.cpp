#include "bus/device_loop_dispatcher.hpp"

#include <asyncvm/event.hpp>

#include <unistd.h>
#include <asio/buffer.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "bus/device_access.hpp"
#include "bus/eventfd.hpp"

namespace asyncvm {

struct DeviceLoopDispatcher::Request {
    Access access;
    Transaction transaction;
    std::array<std::byte, 8> one{};  ///< the data of a single access
    std::vector<std::byte> string;   ///< of a longer one
    std::shared_ptr<OneShot> answered = std::make_shared<OneShot>();
    std::exception_ptr failure;
    bool begun = false;  ///< the device may have seen it; with the dispatcher's mutex
};

DeviceLoopDispatcher::DeviceLoopDispatcher(asio::io_context& device_loop, std::shared_ptr<Device> device)
    : device_loop_(device_loop), device_(std::move(device)), bell_(device_loop, make_eventfd("a way to", *device_)) {}

awaitable<void> DeviceLoopDispatcher::access_device(Access access, Transaction& transaction) {
    const auto request = std::make_shared<Request>();
    request->access = access;
    if (transaction.data.size() > request->one.size()) request->string.resize(transaction.data.size());
    const std::span<std::byte> all = request->string.empty() ? std::span(request->one) : std::span(request->string);
    const auto data = all.first(transaction.data.size());
    std::ranges::copy(transaction.data, data.begin());
    request->transaction = transaction;
    request->transaction.data = data;
    enter(request);
    std::exception_ptr cancelled;
    try {
        co_await request->answered->wait();
    } catch (...) {
        cancelled = std::current_exception();
    }
    if (cancelled) {
        cancel(request);
        std::rethrow_exception(cancelled);
    }
    if (request->failure) std::rethrow_exception(request->failure);
    if (transaction.direction == Direction::read) std::ranges::copy(data, transaction.data.begin());
}

void DeviceLoopDispatcher::enter(const std::shared_ptr<Request>& request) {
    bool serving = false;
    {
        const std::lock_guard lock(mutex_);
        requests_.push_back(request);
        serving = std::exchange(serving_, true);
    }
    if (!serving) {
        asio::co_spawn(device_loop_, serve(shared_from_this()),
                       asio::bind_cancellation_slot(cancel_.slot(), [self = shared_from_this()](std::exception_ptr) {}));
    }
    ring();
}

void DeviceLoopDispatcher::cancel(const std::shared_ptr<Request>& request) {
    {
        const std::lock_guard lock(mutex_);
        if (!request->begun) {
            std::erase(requests_, request);
            return;
        }
    }
    asio::post(device_loop_, [self = shared_from_this(), request] {
        if (self->serves(request)) self->cancel_.emit(asio::cancellation_type::terminal);
    });
}

void DeviceLoopDispatcher::close() noexcept {
    {
        const std::lock_guard lock(mutex_);
        closing_ = true;
    }
    ring();
}

void DeviceLoopDispatcher::ring() noexcept {
    const std::uint64_t once = 1;
    // It can't fail but by overflow, and then the ioevent has been rung often enough.
    static_cast<void>(::write(bell_.native_handle(), &once, sizeof once));
}

awaitable<void> DeviceLoopDispatcher::serve(std::shared_ptr<DeviceLoopDispatcher> self) {
    while (!self->closing()) {
        std::uint64_t rings = 0;
        std::error_code error;
        co_await self->bell_.async_read_some(asio::buffer(&rings, sizeof rings), asio::redirect_error(use_awaitable, error));
        for (auto request = self->after(nullptr); request; request = self->after(request)) {
            try {
                if (request->transaction.data.size() == request->access.size) {
                    // The most frequent: without the frame of another coroutine in between.
                    co_await answer(*self->device_, request->access, request->transaction);
                    if (request->transaction.direction == Direction::read) store_data(request->access, request->transaction);
                } else {
                    co_await asyncvm::access_device(*self->device_, request->access, request->transaction);
                }
            } catch (...) {
                request->failure = std::current_exception();
            }
            // It was meant for this access, not for the next one.
            const auto cancellation = co_await asio::this_coro::cancellation_state;
            if (cancellation.cancelled() != asio::cancellation_type::none)
                co_await asio::this_coro::reset_cancellation_state();
            request->answered->complete();
        }
    }
}

/// The request that is to be served next, or null. The one that was `served` leaves the queue.
std::shared_ptr<DeviceLoopDispatcher::Request> DeviceLoopDispatcher::after(const std::shared_ptr<Request>& served) {
    const std::lock_guard lock(mutex_);
    if (served) requests_.pop_front();
    if (requests_.empty()) return nullptr;
    requests_.front()->begun = true;
    return requests_.front();
}

bool DeviceLoopDispatcher::serves(const std::shared_ptr<Request>& request) {
    const std::lock_guard lock(mutex_);
    return !requests_.empty() && requests_.front() == request;
}

bool DeviceLoopDispatcher::closing() {
    const std::lock_guard lock(mutex_);
    return closing_;
}

}  // namespace asyncvm
