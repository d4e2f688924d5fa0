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

IoEvent::IoEvent(Space space, std::optional<std::uint64_t> range, const Doorbell& doorbell, std::shared_ptr<DeviceSlot> slot,
                 std::size_t index, asio::io_context& device_loop)
    : space_(space), moves_(!range), doorbell_(doorbell), slot_(std::move(slot)), index_(index), range_(range) {
    if (doorbell_.eventfd < 0) event_.emplace(device_loop, "a doorbell for", *slot_->device);
}

const Device& IoEvent::device() const noexcept { return *slot_->device; }

bool IoEvent::matches(const Transaction& write, std::uint64_t offset) const noexcept {
    if (offset != doorbell_.offset || write.size != doorbell_.size || write.data.size() != write.size) return false;
    if (!doorbell_.data) return true;
    std::uint64_t value = 0;
    std::memcpy(&value, write.data.data(), write.size);
    return value == *doorbell_.data;
}

void IoEvent::signal() noexcept { signal_eventfd(eventfd()); }

void IoEvent::ring() noexcept {
    signal();
    const std::lock_guard lock(mutex_);
    connect_here();
}

void IoEvent::connect(Connector connector) {
    const std::lock_guard lock(mutex_);
    connector_ = std::move(connector);
    if (!moves_) connect_here();
}

void IoEvent::connect_here() noexcept {
    if (tried_ || !range_ || !connector_.connect) return;
    tried_ = true;
    connected_ = connector_.connect(*range_ + doorbell_.offset, doorbell_, eventfd());
}

void IoEvent::move(std::optional<std::uint64_t> range) noexcept {
    const std::lock_guard lock(mutex_);
    if (connected_) connector_.disconnect(*range_ + doorbell_.offset, doorbell_, eventfd());
    tried_ = connected_ = false;
    range_ = range;
}

awaitable<std::uint64_t> IoEvent::heard() {
    std::uint64_t times = 0;
    std::error_code error;
    co_await event_->read(times, error);
    if (error) throw std::system_error(error);
    co_return times;
}

awaitable<void> IoEvent::answer() {
    std::string where = "at its doorbell";
    {
        const std::lock_guard lock(mutex_);
        if (range_) {
            where += fmt::format(", {} {:#x}", space_ == Space::port ? "port" : "memory", *range_ + doorbell_.offset);
        }
    }
    return DeviceSlot::rung(slot_, index_, std::move(where));
}

}  // namespace asyncvm
