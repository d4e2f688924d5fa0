#include "bus/ioevent.hpp"

#include <unistd.h>

#include <cstring>
#include <utility>

#include "bus/eventfd.hpp"

namespace asyncvm {

IoEvent::IoEvent(Space space, std::uint64_t address, const Doorbell& doorbell, std::shared_ptr<Device> device,
                 std::size_t index, asio::io_context& device_loop)
    : space_(space),
      address_(address),
      doorbell_(doorbell),
      device_(std::move(device)),
      index_(index),
      event_(device_loop, make_eventfd("a doorbell for", *device_)) {}

bool IoEvent::matches(const Transaction& write) const noexcept {
    if (write.address != address_ || write.size != doorbell_.size || write.data.size() != write.size) return false;
    if (!doorbell_.data) return true;
    std::uint64_t value = 0;
    std::memcpy(&value, write.data.data(), write.size);
    return value == *doorbell_.data;
}

void IoEvent::ring() noexcept {
    const std::uint64_t once = 1;
    // It can't fail but by overflow, and then the ioevent has been rung often enough.
    static_cast<void>(::write(event_.native_handle(), &once, sizeof once));
}

awaitable<std::uint64_t> IoEvent::heard() {
    std::uint64_t times = 0;
    for (;;) {
        if (::read(event_.native_handle(), &times, sizeof times) == sizeof times) break;
        co_await event_.async_wait(asio::posix::stream_descriptor::wait_read, use_awaitable);
    }
    co_return times;
}

}  // namespace asyncvm
