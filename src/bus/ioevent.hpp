/// eventfds: what wakes a coroutine on the device loop without a lock of the loop's, and the doorbells that are made of
/// them.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/exit.hpp>

#include <asio/posix/stream_descriptor.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace asyncvm {

class DeviceSlot;

/// A counter in the kernel that one coroutine waits for. Non-blocking, and closed on exec.
class EventFd {
public:
    /// `what` is for the words of an error: "a doorbell for". Throws Error(host) if the process has no descriptor left.
    EventFd(asio::io_context& device_loop, std::string_view what, const Device& device);

    [[nodiscard]] int native_handle() noexcept { return descriptor_.native_handle(); }

    /// Adds one. Any thread.
    void signal() noexcept;

    /// Waits until the counter is above 0, takes its value into `signals` and sets it to 0. Device loop. Like Asio's
    /// operations it reports its own failure, operation_aborted above all, in `error`.
    [[nodiscard]] awaitable<std::size_t> read(std::uint64_t& signals, std::error_code& error);

private:
    asio::posix::stream_descriptor descriptor_;
};

/// A doorbell of a device: a write that only notifies. KVM or the bus signals its eventfd, and the device loop answers.
class IoEvent {
public:
    /// Has the accelerator signal the eventfd, and no longer.
    struct Connector {
        /// Returns false where it can't.
        std::function<bool(std::uint64_t address, const Doorbell& doorbell, int eventfd)> connect;
        std::function<void(std::uint64_t address, const Doorbell& doorbell, int eventfd)> disconnect;
    };

    /// `index` is the doorbell's in Device::doorbells(); `range` is where the device's range begins, nothing for one that
    /// moves. Throws Error(host) if the process has no descriptor left.
    IoEvent(Space space, std::optional<std::uint64_t> range, const Doorbell& doorbell, std::shared_ptr<DeviceSlot> slot,
            std::size_t index, asio::io_context& device_loop);

    [[nodiscard]] Space space() const noexcept { return space_; }
    [[nodiscard]] std::uint64_t offset() const noexcept { return doorbell_.offset; }
    [[nodiscard]] const Device& device() const noexcept;
    [[nodiscard]] int eventfd() noexcept { return event_ ? event_->native_handle() : doorbell_.eventfd; }

    /// Whether the device loop answers: somebody else does for a doorbell that has an eventfd of its own.
    [[nodiscard]] bool is_answered_here() const noexcept { return event_.has_value(); }

    /// Whether this write of one element at `offset` in the range rings it. As KVM decides: the size must be the same, and
    /// the value, if there is one.
    [[nodiscard]] bool matches(const Transaction& write, std::uint64_t offset) const noexcept;

    /// The guest has rung, and the accelerator has not: from now on it does, where it can. Any thread.
    void ring() noexcept;

    /// Signals without more. Any thread.
    void signal() noexcept;

    /// From now on the accelerator signals where it can: at once where the range stands, with the first ring() where it
    /// moves, because a guest moves it several times before it rings. Any thread.
    void connect(Connector connector);
    /// The range begins elsewhere, or nowhere. Any thread.
    void move(std::optional<std::uint64_t> range) noexcept;

    /// Waits until it has been rung, and returns how often since the last call. If is_answered_here(). Device loop. Throws
    /// std::system_error(operation_aborted) when cancelled.
    [[nodiscard]] awaitable<std::uint64_t> heard();

    /// Has the device answer. If it throws, it is detached and reported. Device loop.
    [[nodiscard]] awaitable<void> answer();

private:
    void connect_here() noexcept;

    const Space space_;
    const bool moves_;
    const Doorbell doorbell_;
    const std::shared_ptr<DeviceSlot> slot_;
    const std::size_t index_;
    std::optional<EventFd> event_;
    std::mutex mutex_;
    std::optional<std::uint64_t> range_;
    Connector connector_;
    bool tried_ = false;      ///< at this place
    bool connected_ = false;  ///< at this place
};

}  // namespace asyncvm
