/// A doorbell of a device: a write that only notifies, as an eventfd that KVM or the bus rings and the device loop hears.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace asyncvm {

class IoEvent {
public:
    /// Throws Error(host) if the host has no eventfd left.
    IoEvent(Space space, std::uint64_t address, const Doorbell& doorbell, std::shared_ptr<Device> device, std::size_t index,
            asio::io_context& device_loop);
    IoEvent(const IoEvent&) = delete;
    IoEvent& operator=(const IoEvent&) = delete;

    [[nodiscard]] Space space() const noexcept { return space_; }
    [[nodiscard]] std::uint64_t address() const noexcept { return address_; }
    [[nodiscard]] const Doorbell& doorbell() const noexcept { return doorbell_; }
    [[nodiscard]] Device& device() const noexcept { return *device_; }
    /// Of the doorbell in Device::doorbells().
    [[nodiscard]] std::size_t index() const noexcept { return index_; }
    [[nodiscard]] int eventfd() noexcept { return event_.native_handle(); }

    /// Whether this write of one element rings it. As KVM decides: the size must be the same, and the value, if there is
    /// one.
    [[nodiscard]] bool matches(const Transaction& write) const noexcept;

    /// Any thread.
    void ring() noexcept;

    /// Waits until it has been rung, and returns how often since the last call. Device loop.
    [[nodiscard]] awaitable<std::uint64_t> heard();

private:
    const Space space_;
    const std::uint64_t address_;
    const Doorbell doorbell_;
    const std::shared_ptr<Device> device_;
    const std::size_t index_;
    asio::posix::stream_descriptor event_;
};

}  // namespace asyncvm
