#include "bus/device_loop_dispatcher.hpp"

#include <asyncvm/event.hpp>

#include <algorithm>
#include <array>
#include <exception>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "bus/device_slot.hpp"

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
    : device_loop_(device_loop), device_(std::move(device)), requested_(device_loop, "a way to", *device_) {}

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
    requested_.signal();
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
    requested_.signal();
}

awaitable<void> DeviceLoopDispatcher::serve(std::shared_ptr<DeviceLoopDispatcher> self) {
    while (!self->closing()) {
        std::uint64_t signals = 0;
        std::error_code error;
        co_await self->requested_.read(signals, error);
        for (auto request = self->after(nullptr); request; request = self->after(request)) {
            const auto owner = self->owner_.lock();
            const bool watched = self->watcher_ && owner;
            if (watched) self->watcher_(true);
            try {
                const bool single = request->transaction.data.size() == request->access.size;
                co_await answer(*self->device_, request->access, request->transaction);
                if (single && request->transaction.direction == Direction::read)
                    store_data(request->access, request->transaction);
            } catch (...) {
                request->failure = std::current_exception();
            }
            if (watched) self->watcher_(false);
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
