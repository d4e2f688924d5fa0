#include "virtio/device_state.hpp"

#include <asyncvm/virtio_chain.hpp>

namespace asyncvm::virtio {

namespace {

std::uint32_t half_of(std::uint64_t features, std::uint32_t half) noexcept {
    return half < 2 ? static_cast<std::uint32_t>(features >> (32 * half)) : 0;
}

void set_half(std::uint64_t& number, bool high, std::uint32_t value) noexcept {
    constexpr std::uint64_t low_mask = 0xffff'ffff;
    number = high ? (number & low_mask) | std::uint64_t{value} << 32 : (number & ~low_mask) | value;
}

}  // namespace

DeviceState::DeviceState(std::uint64_t features, std::span<const std::uint16_t> largest) : offered_(features) {
    for (const std::uint16_t size : largest) queues_.push_back({.largest = size, .size = size});
}

DeviceState::Request DeviceState::write_status(std::uint8_t value) noexcept {
    using enum Request::Kind;
    if (value == 0) return {.kind = reset};
    // DEVICE_NEEDS_RESET is the device's bit.
    constexpr std::uint8_t drivers = all_status & ~needs_reset_bit;
    value &= drivers;
    if ((status_ & drivers & ~value) != 0) return {.kind = mistake, .mistake = Mistake::cleared_status};
    const auto risen = static_cast<std::uint8_t>(value & ~status_);
    constexpr std::uint8_t known_driver = acknowledge | driver;
    if ((risen & features_ok) != 0 && (value & known_driver) != known_driver) {
        return {.kind = mistake, .mistake = Mistake::order_of_status};
    }
    // The driver reads back whether its features were accepted (3.1.1).
    if ((risen & features_ok) != 0 && !acceptable()) value &= static_cast<std::uint8_t>(~features_ok);
    if ((risen & driver_ok) != 0 && (value & features_ok) == 0) {
        return {.kind = mistake, .mistake = Mistake::ok_without_features};
    }
    status_ |= value;
    return {.kind = (risen & driver_ok) != 0 ? start : none};
}

bool DeviceState::acceptable() const noexcept {
    return (accepted_ & ~offered_) == 0 && (accepted_ & feature_version_1) != 0;
}

std::uint32_t DeviceState::offered() const noexcept { return half_of(offered_, offered_half_); }

std::uint32_t DeviceState::accepted() const noexcept { return half_of(accepted_, accepted_half_); }

void DeviceState::accept(std::uint32_t features) noexcept {
    if ((status_ & features_ok) == 0 && accepted_half_ < 2) set_half(accepted_, accepted_half_ == 1, features);
}

std::uint64_t DeviceState::negotiated() const noexcept { return (status_ & features_ok) != 0 ? accepted_ : 0; }

const DeviceState::QueueSetup* DeviceState::selected() const noexcept {
    return selected_ < queues_.size() ? &queues_[selected_] : nullptr;
}

DeviceState::QueueSetup* DeviceState::changeable() noexcept {
    return selected_ < queues_.size() && !queues_[selected_].ready ? &queues_[selected_] : nullptr;
}

void DeviceState::set_queue_size(std::uint32_t size) noexcept {
    // A size that does not fit is refused as 0 is: when the queue is made ready.
    if (QueueSetup* const queue = changeable()) queue->size = size <= queue->largest ? static_cast<std::uint16_t>(size) : 0;
}

void DeviceState::set_queue_address(AddressHalf half, std::uint32_t value) noexcept {
    if (QueueSetup* const queue = changeable()) set_half(queue->*half.address, half.high, value);
}

DeviceState::Request DeviceState::write_queue_ready(bool ready) noexcept {
    using enum Request::Kind;
    if (selected_ >= queues_.size()) return {};
    QueueSetup& queue = queues_[selected_];
    if (ready == queue.ready) return {};
    if (ready && (status_ & features_ok) == 0) return {.kind = mistake, .mistake = Mistake::queue_before_features};
    queue.ready = ready;
    if (!running()) return {};
    return {.kind = ready ? start_queue : stop_queue, .queue = selected_};
}

DeviceState::Request DeviceState::write_queue_reset() noexcept {
    if (selected_ >= queues_.size() || (negotiated() & feature_ring_reset) == 0) return {};
    return {.kind = Request::Kind::reset_queue, .queue = selected_};
}

void DeviceState::config_changed() noexcept {
    ++generation_;
    if (running()) raise(config_change);
}

bool DeviceState::fail() noexcept {
    if ((status_ & needs_reset_bit) != 0) return false;
    status_ |= needs_reset_bit;
    if (running()) raise(config_change);
    return true;
}

void DeviceState::reset() noexcept {
    accepted_ = 0;
    offered_half_ = accepted_half_ = 0;
    status_ = interrupts_ = 0;
    // generation_ goes on: a driver must not take a configuration of before for the same.
    selected_ = 0;
    for (std::size_t index = 0; index < queues_.size(); ++index) reset_queue(index);
}

void DeviceState::reset_queue(std::size_t index) noexcept {
    const std::uint16_t largest = queues_[index].largest;
    queues_[index] = {.largest = largest, .size = largest};
}

bool DeviceState::fits(const DeviceState& device) const noexcept {
    if (queues_.size() != device.queues_.size()) return false;
    for (std::size_t index = 0; index < queues_.size(); ++index) {
        if (queues_[index].size > device.queues_[index].largest) return false;
    }
    const bool negotiating = (status_ & features_ok) == 0;
    if (negotiating) return !running();
    return (accepted_ & ~device.offered_) == 0 && (accepted_ & feature_version_1) != 0;
}

void DeviceState::adopt(const DeviceState& device) noexcept {
    offered_ = device.offered_;
    for (std::size_t index = 0; index < queues_.size(); ++index) queues_[index].largest = device.queues_[index].largest;
}

}  // namespace asyncvm::virtio
