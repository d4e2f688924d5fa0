#include "virtio/device_core.hpp"

#include <fmt/format.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "virtio/mmio_registers.hpp"

namespace asyncvm::virtio {

namespace {

std::vector<std::uint16_t> sizes_of(const std::vector<QueueShape>& shapes) {
    std::vector<std::uint16_t> sizes;
    for (const QueueShape& shape : shapes) sizes.push_back(shape.size);
    return sizes;
}

std::string reason_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& error) {
        return error.what();
    } catch (...) {
        return "unknown exception";
    }
}

constexpr std::uint64_t ring_features = feature_indirect | feature_event_index | feature_version_1 | feature_ring_reset;

}  // namespace

/// What an access hands over to run().
struct DeviceCore::Command {
    DeviceState::Request request{};
    std::size_t offset = 0;  ///< of a write to the configuration space, if there are
    std::vector<std::byte> bytes{};
    std::shared_ptr<OneShot> done = std::make_shared<OneShot>();
};

DeviceCore::DeviceCore(std::shared_ptr<Device> device)
    : device_(std::move(device)),
      shapes_(device_->queues()),
      state_(device_->features() | (ring_features & ~device_->refused_features()), sizes_of(shapes_)),
      hands_over_(device_->hands_rings_over()),
      queues_(shapes_.size()),
      handed_over_(shapes_.size()) {
    device_->core_ = this;
}

DeviceCore::~DeviceCore() { device_->core_ = nullptr; }

void DeviceCore::attach(const DeviceContext& context, ShowInterrupts show_interrupts) {
    context_.emplace(context);
    show_interrupts_ = std::move(show_interrupts);
    device_->attached(context);
    config_ = device_->config();
}

// From an access to the device loop.

awaitable<void> DeviceCore::carry_out(DeviceState::Request request) {
    using enum DeviceState::Request::Kind;
    if (request.kind == none) co_return;
    if (request.kind == mistake) {
        fail(std::nullopt, describe(request.mistake));
        co_return;
    }
    const auto asked = std::make_shared<Command>();
    asked->request = request;
    co_await command(asked);
}

void DeviceCore::let_serve(bool may) {
    const std::lock_guard lock(mutex_);
    may_serve_ = may;
}

awaitable<void> DeviceCore::write_config(std::size_t offset, unsigned size, std::uint32_t value) {
    const auto asked = std::make_shared<Command>();
    {
        const std::lock_guard lock(mutex_);
        if (offset >= config_.size()) co_return;
        size = static_cast<unsigned>(std::min<std::size_t>(size, config_.size() - offset));
    }
    asked->offset = offset;
    for (unsigned byte = 0; byte < size; ++byte) asked->bytes.push_back(static_cast<std::byte>(value >> (8 * byte)));
    co_await command(asked);
}

std::uint32_t DeviceCore::read_config(std::size_t offset, unsigned size) const {
    const std::lock_guard lock(mutex_);
    return MmioRegisters::read_config(config_, offset, size);
}

awaitable<void> DeviceCore::command(std::shared_ptr<Command> command) {
    {
        const std::lock_guard lock(commands_mutex_);
        commands_.push_back(command);
    }
    commanded_.notify();
    co_await command->done->wait();
}

std::shared_ptr<DeviceCore::Command> DeviceCore::next_command() {
    const std::lock_guard lock(commands_mutex_);
    if (commands_.empty()) return nullptr;
    auto next = std::move(commands_.front());
    commands_.pop_front();
    return next;
}

// On the device loop.

awaitable<void> DeviceCore::run() {
    Jobs own_work(loop());
    own_work.start(owner(), device_->run(), [this](const std::exception_ptr& failure, bool cancelled) {
        if (failure && !cancelled) say_once(fmt::format("device {} failed: {}", device_->name(), reason_of(failure)));
    });
    std::exception_ptr failure;
    try {
        co_await serve_commands();
    } catch (...) {
        failure = std::current_exception();
    }
    const auto cancellation = co_await asio::this_coro::cancellation_state;
    const bool cancelled = cancellation.cancelled() != asio::cancellation_type::none;
    // Nothing of the device may work on when this has ended.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    co_await serve_output();
    own_work.cancel();
    co_await stop_queues();
    co_await own_work.ended();
    if (!cancelled) std::rethrow_exception(failure);
}

bool DeviceCore::has_output() const noexcept {
    for (unsigned index = 0; index < queues_.size(); ++index) {
        if (shapes_[index].output && queues_[index] && !queues_[index]->served()) return true;
    }
    return false;
}

/// The guest has ended, perhaps right after it has made the last of its output available.
awaitable<void> DeviceCore::serve_output() {
    constexpr std::chrono::milliseconds limit{100};
    const auto until = std::chrono::steady_clock::now() + limit;
    ending_ = true;
    for (unsigned index = 0; index < queues_.size(); ++index) {
        if (shapes_[index].output) notified(index);
    }
    for (;;) {
        const auto seen = output_served_.generation();
        const auto now = std::chrono::steady_clock::now();
        if (!has_output() || now >= until || !gate()->is_open()) co_return;
        co_await output_served_.wait(seen, until - now);
    }
}

awaitable<void> DeviceCore::serve_commands() {
    for (;;) {
        const auto seen = commanded_.generation();
        if (const auto next = next_command()) {
            co_await perform(*next);
            next->done->complete();
        } else {
            co_await commanded_.wait(seen);
        }
    }
}

awaitable<void> DeviceCore::perform(const Command& command) {
    using enum DeviceState::Request::Kind;
    const unsigned index = command.request.queue;
    switch (command.request.kind) {
        case none:
            device_->write_config(command.offset, command.bytes);
            {
                auto config = device_->config();
                const std::lock_guard lock(mutex_);
                config_ = std::move(config);
            }
            break;
        case reset:
            co_await stop_queues();
            reset_state();
            break;
        case start:
            start_queues();
            break;
        case start_queue:
            start_queue_if_ready(index);
            break;
        case stop_queue:
        case reset_queue:
            co_await stop_one(index);
            if (command.request.kind == reset_queue) {
                with_state([index](DeviceState& state) { state.reset_queue(index); });
            }
            break;
        case notify:
            notified(index);
            break;
        case mistake:
            break;  // carry_out() has dealt with it
    }
}

awaitable<void> DeviceCore::stop_one(unsigned index) {
    if (!alone_.try_lock()) co_await alone_.lock();
    const AsyncLock alone(alone_);
    if (handed_over_[index]) co_await device_->return_ring(index);
    handed_over_[index] = false;
    const auto queue = queues_[index];
    if (!queue) co_return;
    queue->begin_stop();
    co_await queue->stopped();
    queues_[index] = nullptr;
}

awaitable<void> DeviceCore::stop_queues() {
    if (!alone_.try_lock()) co_await alone_.lock();
    const AsyncLock alone(alone_);
    for (unsigned index = 0; index < handed_over_.size(); ++index) {
        if (handed_over_[index]) co_await device_->return_ring(index);
        handed_over_[index] = false;
    }
    for (const auto& queue : queues_) {
        if (queue) queue->begin_stop();
    }
    for (auto& queue : queues_) {
        if (queue) co_await queue->stopped();
        queue = nullptr;
    }
}

void DeviceCore::start_queues() {
    for (unsigned index = 0; index < queues_.size(); ++index) start_queue_if_ready(index);
}

void DeviceCore::start_queue_if_ready(unsigned index, const SplitQueue::Position* position) {
    bool ready = false;
    SplitQueue::Setup setup;
    {
        const std::lock_guard lock(mutex_);
        const DeviceState::QueueSetup& queue = state_.queue(index);
        ready = may_serve_ && state_.running() && queue.ready && !queues_[index] && !handed_over_[index];
        setup = {.size = queue.size,
                 .descriptors = queue.descriptors,
                 .available = queue.available,
                 .used = queue.used,
                 .indirect = (state_.negotiated() & feature_indirect) != 0,
                 .event_index = (state_.negotiated() & feature_event_index) != 0};
    }
    if (!ready) return;
    if (hands_over_) {
        handed_over_[index] = true;
        return device_->take_ring({.queue = index,
                                   .size = setup.size,
                                   .descriptors = setup.descriptors,
                                   .available = setup.available,
                                   .used = setup.used});
    }
    auto ring = std::make_unique<SplitQueue>(context_->memory, setup);
    if (position != nullptr) ring->go_on_from(*position);
    if (ring->mistake() != Mistake::none) return fail(index, describe(ring->mistake()));
    queues_[index] = std::make_shared<Queue>(*this, index, shapes_[index], std::move(ring));
    queues_[index]->start();
}

void DeviceCore::notified(unsigned index) {
    if (queues_[index]) queues_[index]->wake();
    if (handed_over_[index]) ::eventfd_write(device_->notification(index), 1);
}

void DeviceCore::reset() {
    {
        const std::lock_guard lock(commands_mutex_);
        for (const auto& stale : commands_) stale->done->complete();
        commands_.clear();
    }
    abandon_queues();
    reset_state();
}

void DeviceCore::abandon_queues() {
    for (auto& queue : queues_) {
        if (queue) queue->begin_stop();
        queue = nullptr;
    }
}

void DeviceCore::reset_state() {
    device_->reset();
    auto config = device_->config();
    const std::lock_guard lock(mutex_);
    state_.reset();
    config_ = std::move(config);
    show_interrupts();
}

// For queues and devices.

std::shared_ptr<void> DeviceCore::owner() {
    // Members go in the reverse order: the machine, whose memory the rest uses, last.
    struct Owners {
        std::shared_ptr<void> machine;
        std::shared_ptr<DeviceCore> core;
    };
    auto owners = std::make_shared<Owners>();
    owners->machine = context_->machine.lock();
    owners->core = shared_from_this();
    return owners;
}

std::uint64_t DeviceCore::negotiated() const {
    const std::lock_guard lock(mutex_);
    return state_.negotiated();
}

std::shared_ptr<Queue> DeviceCore::queue(unsigned index) const noexcept {
    return index < queues_.size() ? queues_[index] : nullptr;
}

void DeviceCore::interrupt(unsigned queue) {
    const std::lock_guard lock(mutex_);
    state_.raise(DeviceState::used_buffer);
    show_interrupts({.queue = queue});
}

void DeviceCore::config_changed() {
    auto config = device_->config();
    const std::lock_guard lock(mutex_);
    config_ = std::move(config);
    state_.config_changed();
    if (context_) show_interrupts({.config = state_.running()});
}

void DeviceCore::fail(std::optional<unsigned> queue, std::string_view what) {
    {
        const std::lock_guard lock(mutex_);
        if (!state_.fail()) return;
        show_interrupts({.config = state_.running()});
    }
    const std::string where = queue ? fmt::format(" in queue {}", *queue) : std::string();
    say_once(fmt::format("device {}: the driver breaks the rules{}: {}; it has to reset the device", device_->name(), where,
                         what));
}

void DeviceCore::need_reset(std::string_view why) {
    {
        const std::lock_guard lock(mutex_);
        if (!state_.fail()) return;
        show_interrupts({.config = state_.running()});
    }
    say_once(fmt::format("device {}: {}; the driver has to reset the device", device_->name(), why));
}

void DeviceCore::failed(unsigned queue, const std::exception_ptr& failure) {
    {
        const std::lock_guard lock(mutex_);
        const bool is_new = state_.fail();
        show_interrupts({.config = is_new && state_.running()});
    }
    say_once(fmt::format("device {} failed in queue {}: {}", device_->name(), queue, reason_of(failure)));
}

/// A guest can make the same mistake again and again.
void DeviceCore::say_once(std::string text) {
    {
        const std::lock_guard lock(mutex_);
        if (said_ == text) return;
        said_ = text;
    }
    context_->log(text);
}

}  // namespace asyncvm::virtio
