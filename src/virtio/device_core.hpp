/// A virtio device between its transport and its author's code: the coroutine shell around the pure state and queues.
#pragma once

#include <asyncvm/device_context.hpp>
#include <asyncvm/virtio.hpp>

#include "async/async_mutex.hpp"
#include "virtio/device_state.hpp"
#include "virtio/jobs.hpp"
#include "virtio/split_queue.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::virtio {

/// The registers are behind a mutex: a transport answers most accesses in place. The queues and the author's code are the
/// device loop's; what reaches them from an access is handed over to run(), and the access waits until it is done. So the
/// driver that reads a status of 0 knows that the device has let go of its memory.
class DeviceCore : public std::enable_shared_from_this<DeviceCore> {
public:
    /// `device` is not null and has no other core.
    explicit DeviceCore(std::shared_ptr<Device> device);
    DeviceCore(const DeviceCore&) = delete;
    DeviceCore& operator=(const DeviceCore&) = delete;
    ~DeviceCore();

    /// What has just been raised, if anything has.
    struct Raised {
        bool config = false;
        std::optional<unsigned> queue{};  ///< whose used ring has something new
    };
    /// Called under the mutex, on any thread, each time that DeviceState::interrupts() may have changed: shows the driver
    /// what is pending.
    using ShowInterrupts = std::function<void(DeviceState& state, const Raised& raised)>;
    void attach(const DeviceContext& context, ShowInterrupts show_interrupts);

    [[nodiscard]] Device& device() const noexcept { return *device_; }
    [[nodiscard]] std::size_t queues() const noexcept { return shapes_.size(); }

    // For the transport, any thread.
    template <typename Function>
    auto with_state(Function function) {
        const std::lock_guard lock(mutex_);
        return function(state_);
    }
    /// A write to a register, which `function` makes with DeviceState's functions.
    template <typename Function>
    [[nodiscard]] DeviceState::Request change(Function function) {
        const std::lock_guard lock(mutex_);
        const DeviceState::Request request = function(state_);
        show_interrupts();
        return request;
    }
    /// Whether queues may be served: where not, none is begun, and those that are served go on until they are stopped. True
    /// at the start.
    void let_serve(bool may);
    /// Does what a write asks for. Completes when it is done.
    [[nodiscard]] awaitable<void> carry_out(DeviceState::Request request);
    [[nodiscard]] std::uint32_t read_config(std::size_t offset, unsigned size) const;
    [[nodiscard]] awaitable<void> write_config(std::size_t offset, unsigned size, std::uint32_t value);

    // Device loop.
    /// The driver has notified this queue.
    void notified(unsigned index);
    /// What a transport's functions of these names do.
    [[nodiscard]] awaitable<void> run();
    [[nodiscard]] awaitable<void> stop_queues();
    void reset();
    void save(StateWriter& writer);
    void restore(StateReader& reader);

    // For queues and devices. Device loop.
    [[nodiscard]] asio::io_context& loop() const noexcept { return context_->loop; }
    [[nodiscard]] const std::shared_ptr<PauseGate>& gate() const noexcept { return context_->gate; }
    /// What a coroutine of its own must hold.
    [[nodiscard]] std::shared_ptr<void> owner();
    [[nodiscard]] std::uint64_t negotiated() const;
    [[nodiscard]] std::shared_ptr<Queue> queue(unsigned index) const noexcept;
    /// The driver wants to be told of the used ring of `queue`.
    void interrupt(unsigned queue);
    void config_changed();
    /// A chain has gone back to the driver.
    void given_back() {
        if (ending_) output_served_.notify();
    }
    /// The driver has done something wrong: said once, and it has to reset the device. `queue`: nothing for the device.
    void fail(std::optional<unsigned> queue, std::string_view what);
    /// The device can't go on without a reset.
    void need_reset(std::string_view why);
    /// serve() of `queue` has thrown.
    void failed(unsigned queue, const std::exception_ptr& failure);

private:
    struct Command;
    struct Saved;

    [[nodiscard]] awaitable<void> command(std::shared_ptr<Command> command);
    [[nodiscard]] std::shared_ptr<Command> next_command();
    [[nodiscard]] awaitable<void> serve_commands();
    [[nodiscard]] bool has_output() const noexcept;
    [[nodiscard]] awaitable<void> serve_output();
    [[nodiscard]] awaitable<void> perform(const Command& command);
    [[nodiscard]] awaitable<void> stop_one(unsigned index);
    void abandon_queues();
    void start_queues();
    void start_queue_if_ready(unsigned index, const SplitQueue::Position* position = nullptr);
    void reset_state();
    void show_interrupts() { show_interrupts_(state_, Raised()); }
    void show_interrupts(const Raised& raised) { show_interrupts_(state_, raised); }
    void say_once(std::string text);

    const std::shared_ptr<Device> device_;
    const std::vector<QueueShape> shapes_;
    std::optional<DeviceContext> context_;
    ShowInterrupts show_interrupts_;

    mutable std::mutex mutex_;
    DeviceState state_;
    std::vector<std::byte> config_;  ///< what the device has said last
    std::string said_;               ///< the last line about what went wrong
    bool may_serve_ = true;

    std::mutex commands_mutex_;
    std::deque<std::shared_ptr<Command>> commands_;
    Event commanded_;

    const bool hands_over_;                       ///< the device's rings are served by another process
    AsyncMutex alone_;                            ///< of what takes several turns of the loop: commands, stop_queues()
    std::vector<std::shared_ptr<Queue>> queues_;  ///< null: not served
    std::vector<bool> handed_over_;               ///< for each queue, if hands_over_
    bool ending_ = false;                         ///< serve_output() waits
    Event output_served_;
};

}  // namespace asyncvm::virtio
