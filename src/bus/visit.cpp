#include "bus/visit.hpp"

#include <asyncvm/event.hpp>

#include <algorithm>
#include <exception>
#include <utility>
#include <vector>

namespace asyncvm {

namespace {

struct RemoteVisit {
    std::shared_ptr<Device> device;
    Access access;
    Transaction transaction;
    std::vector<std::byte> data;
    asio::cancellation_signal cancel;  ///< device loop
    std::shared_ptr<OneShot> answered = std::make_shared<OneShot>();
    std::exception_ptr failure;
};

awaitable<void> run_remote(std::shared_ptr<RemoteVisit> remote) {
    co_await visit(*remote->device, remote->access, remote->transaction);
}

}  // namespace

awaitable<void> visit(Device& device, Access access, Transaction& transaction) {
    if (transaction.direction == Direction::write) {
        if (transaction.data.size() > access.size) {
            co_await device.write_string(access, transaction.data);
        } else {
            load_data(access, transaction);
            co_await device.write(access);
        }
    } else if (transaction.data.size() > access.size) {
        co_await device.read_string(access, transaction.data);
    } else {
        co_await device.read(access);
        store_data(access, transaction);
    }
}

awaitable<void> visit_on_loop(asio::io_context& device_loop, std::shared_ptr<Device> device, Access access,
                              Transaction& transaction) {
    const auto remote = std::make_shared<RemoteVisit>();
    remote->device = std::move(device);
    remote->access = access;
    remote->data.assign(transaction.data.begin(), transaction.data.end());
    remote->transaction = transaction;
    remote->transaction.data = remote->data;
    asio::co_spawn(device_loop, run_remote(remote),
                   asio::bind_cancellation_slot(remote->cancel.slot(), [remote](std::exception_ptr failure) {
                       remote->failure = std::move(failure);
                       remote->answered->complete();
                   }));
    std::exception_ptr cancelled;
    try {
        co_await remote->answered->wait();
    } catch (...) {
        cancelled = std::current_exception();
    }
    if (cancelled) {
        asio::post(device_loop, [remote] { remote->cancel.emit(asio::cancellation_type::terminal); });
        std::rethrow_exception(cancelled);
    }
    if (remote->failure) std::rethrow_exception(remote->failure);
    if (transaction.direction == Direction::read) std::ranges::copy(remote->data, transaction.data.begin());
}

}  // namespace asyncvm
