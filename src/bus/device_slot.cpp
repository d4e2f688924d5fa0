#include "bus/device_slot.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

#include "bus/device_loop_dispatcher.hpp"

namespace asyncvm {

namespace {

std::string reason_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "unknown exception";
    }
}

std::shared_ptr<DeviceLoopDispatcher> make_dispatcher(const std::shared_ptr<Device>& device, asio::io_context& device_loop) {
    if (device->affinity() != Affinity::device_loop) return nullptr;
    return std::make_shared<DeviceLoopDispatcher>(device_loop, device);
}

}  // namespace

DeviceSlot::DeviceSlot(std::shared_ptr<Device> of, asio::io_context& device_loop, Log log)
    : device(std::move(of)),
      max_size(std::clamp(std::bit_floor(device->max_access_size()), 1u, 8u)),
      concurrent(device->concurrent() && device->affinity() == Affinity::in_place),
      dispatcher(make_dispatcher(device, device_loop)),
      log_(std::move(log)) {
    if (concurrent) mutex.close();
}

DeviceSlot::~DeviceSlot() = default;

void DeviceSlot::failed(std::exception_ptr failure, asio::cancellation_type cancelled, std::string_view where) {
    if (cancelled != asio::cancellation_type::none) std::rethrow_exception(failure);
    if (detached_.exchange(true)) return;
    log_(fmt::format("device {} failed {} and is detached: {}", device->name(), where, reason_of(failure)));
}

awaitable<void> DeviceSlot::run(std::shared_ptr<DeviceSlot> slot) {
    std::exception_ptr failure;
    try {
        co_await slot->device->run();
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure) co_return;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    slot->failed(std::move(failure), cancellation.cancelled(), "in its background work");
}

awaitable<void> DeviceSlot::rung(std::shared_ptr<DeviceSlot> slot, std::size_t index, std::string where) {
    if (slot->detached()) co_return;
    std::exception_ptr failure;
    try {
        co_await slot->device->rung(index);
    } catch (...) {
        failure = std::current_exception();
    }
    if (!failure) co_return;
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    slot->failed(std::move(failure), cancellation.cancelled(), where);
}

DeviceSlots::DeviceSlots(asio::io_context& device_loop, Log log) : device_loop_(device_loop), log_(std::move(log)) {}

DeviceSlots::~DeviceSlots() { close(); }

std::shared_ptr<DeviceSlot> DeviceSlots::of(const std::shared_ptr<Device>& device) const {
    const auto known = std::ranges::find(slots_, device, [](const auto& slot) { return slot->device; });
    if (known != slots_.end()) return *known;
    if (!device->slot_.expired()) {
        throw Error(ErrorKind::usage, fmt::format("cannot attach {}: another machine has it", device->name()));
    }
    return std::make_shared<DeviceSlot>(device, device_loop_, log_);
}

void DeviceSlots::keep(const std::shared_ptr<DeviceSlot>& slot) {
    if (std::ranges::find(slots_, slot) != slots_.end()) return;
    slots_.push_back(slot);
    slot->device->slot_ = slot;
}

void DeviceSlots::close() noexcept {
    for (const auto& slot : slots_) {
        // Another machine may have it since the first close().
        if (slot->device->slot_.lock() == slot) slot->device->slot_.reset();
        if (slot->dispatcher) slot->dispatcher->close();
    }
}

}  // namespace asyncvm
