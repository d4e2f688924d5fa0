#include "bus/ioevent.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <asio/buffer.hpp>

#include <cerrno>
#include <cstring>
#include <utility>

#include "bus/device_slot.hpp"
#include "text/errno_text.hpp"

namespace asyncvm {

namespace {

int make_eventfd(std::string_view what, const Device& device) {
    const int event = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (event >= 0) return event;
    throw Error(ErrorKind::host, fmt::format("cannot make {} {}: {} (raise the limit that `ulimit -n` shows)", what,
                                             device.name(), reason(errno)));
}

void signal_eventfd(int event) noexcept {
    const std::uint64_t once = 1;
    // It fails only when the counter is at its limit: then there have been signals enough.
    static_cast<void>(::write(event, &once, sizeof once));
}

}  // namespace

EventFd::EventFd(asio::io_context& device_loop, std::string_view what, const Device& device)
    : descriptor_(device_loop, make_eventfd(what, device)) {}

void EventFd::signal() noexcept { signal_eventfd(descriptor_.native_handle()); }

awaitable<std::size_t> EventFd::read(std::uint64_t& signals, std::error_code& error) {
    return descriptor_.async_read_some(asio::buffer(&signals, sizeof signals), asio::redirect_error(use_awaitable, error));
}

IoEvent::IoEvent(Space space, std::uint64_t address, const Doorbell& doorbell, std::shared_ptr<DeviceSlot> slot,
                 std::size_t index, asio::io_context& device_loop)
    : space_(space), address_(address), doorbell_(doorbell), slot_(std::move(slot)), index_(index) {
    if (doorbell_.eventfd < 0) event_.emplace(device_loop, "a doorbell for", *slot_->device);
}

void IoEvent::ring() noexcept { signal_eventfd(eventfd()); }

const Device& IoEvent::device() const noexcept { return *slot_->device; }

bool IoEvent::matches(const Transaction& write) const noexcept {
    if (write.address != address_ || write.size != doorbell_.size || write.data.size() != write.size) return false;
    if (!doorbell_.data) return true;
    std::uint64_t value = 0;
    std::memcpy(&value, write.data.data(), write.size);
    return value == *doorbell_.data;
}

awaitable<std::uint64_t> IoEvent::heard() {
    std::uint64_t times = 0;
    std::error_code error;
    co_await event_->read(times, error);
    if (error) throw std::system_error(error);
    co_return times;
}

awaitable<void> IoEvent::answer() {
    return DeviceSlot::rung(slot_, index_,
                            fmt::format("at its doorbell, {} {:#x}", space_ == Space::port ? "port" : "memory", address_));
}

}  // namespace asyncvm
