#include "vhost/device.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include "text/errno_text.hpp"
#include "vhost/rings.hpp"

namespace asyncvm::vhost {

namespace {

UniqueFd make_eventfd() {
    UniqueFd event(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    if (event.valid()) return event;
    throw Error(ErrorKind::host, fmt::format("cannot make an eventfd for a vhost-user device: {} (raise the limit that "
                                             "`ulimit -n` shows)",
                                             reason(errno)));
}

UniqueFd duplicate(const UniqueFd& event) {
    UniqueFd copy(::fcntl(event.get(), F_DUPFD_CLOEXEC, 0));
    if (copy.valid()) return copy;
    throw Error(ErrorKind::host, fmt::format("cannot watch an eventfd of a vhost-user device: {}", reason(errno)));
}

void signal(const UniqueFd& event) noexcept {
    const std::uint64_t once = 1;
    static_cast<void>(::write(event.get(), &once, sizeof once));
}

}  // namespace

VhostUserDevice::VhostUserDevice(Kind kind, VhostUserEnvironment environment, BackEnd back_end, UniqueFd socket)
    : kind_(std::move(kind)),
      environment_(std::move(environment)),
      back_end_(std::move(back_end)),
      socket_(std::move(socket)),
      rings_(kind_.queues(back_end_).size()) {
    for (Ring& ring : rings_) {
        ring.kick = make_eventfd();
        ring.call = make_eventfd();
    }
}

void VhostUserDevice::attached(const DeviceContext& context) {
    context_.emplace(context);
    told_config_ = config();
    if (!shared_regions(context.memory).empty()) return;
    throw Error(ErrorKind::usage, fmt::format("{}: a back end needs shared guest memory (--memory-share on)", name()));
}

void VhostUserDevice::log(std::string_view text) const {
    environment_.log(fmt::format("{}: the back end at {} {}", environment_.label, kind_.spec().path, text));
}

// The driver's side.

void VhostUserDevice::take_ring(const virtio::RingSetup& setup) {
    Ring& ring = rings_[setup.queue];
    ring.wanted = setup;
    ring.begun = ring.lost = false;
    changed_->notify();
}

awaitable<void> VhostUserDevice::return_ring(unsigned queue) {
    rings_[queue].wanted.reset();
    changed_->notify();
    for (;;) {
        const auto seen = changed_->generation();
        if (!rings_[queue].served || ended_) co_return;
        co_await changed_->wait(seen);
    }
}

void VhostUserDevice::reset() {
    inflight_.reset();
    knows_inflight_ = false;
}

void VhostUserDevice::save(StateWriter&) {
    throw Error(ErrorKind::usage,
                fmt::format("a machine with {} can't be saved: a part of its state is in the back end", name()));
}

void VhostUserDevice::restore(StateReader&) {
    throw Error(ErrorKind::usage, fmt::format("the state of {} can't be restored: a part of it is in the back end", name()));
}

// The back end's side.

/// What the loop watches may not outlive it, and the device does where a loop is destroyed that never ran again.
class VhostUserDevice::Watching {
public:
    explicit Watching(VhostUserDevice& device) : device_(device) {}
    Watching(const Watching&) = delete;
    Watching& operator=(const Watching&) = delete;
    ~Watching() {
        if (device_.channel_) device_.channel_->abandon();
        for (Ring& ring : device_.rings_) ring.calls.reset();
    }

private:
    VhostUserDevice& device_;
};

awaitable<void> VhostUserDevice::run() {
    const Watching watching(*this);
    virtio::Jobs calls(context_->loop);
    for (unsigned index = 0; index < rings_.size(); ++index) {
        rings_[index].calls.emplace(context_->loop, duplicate(rings_[index].call).release());
        calls.start(context_->machine.lock(), hear_calls(index), [](const std::exception_ptr&, bool) {});
    }
    channel_ = std::make_shared<Channel>(context_->loop, std::move(socket_), environment_.reply_limit, changed_);
    channel_->start();
    running_ = true;
    std::exception_ptr failure;
    try {
        co_await agree();
    } catch (...) {
        failure = std::current_exception();
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    channel_->close("the machine has ended");
    ended_ = true;
    changed_->notify();
    calls.cancel();
    for (Ring& ring : rings_) ring.calls.reset();
    co_await calls.ended();
    if (failure) std::rethrow_exception(failure);
}

awaitable<void> VhostUserDevice::hear_calls(unsigned index) {
    Ring& ring = rings_[index];
    while (ring.calls) {
        std::uint64_t times = 0;
        if (::read(ring.calls->native_handle(), &times, sizeof times) == sizeof times) {
            if (!context_->gate->is_open()) co_await PauseGate::passed(context_->gate);
            // One from before a reset is nobody's.
            if (ring.wanted) interrupt(index);
        }
        if (ring.calls) co_await wait_for(*ring.calls, Watched::wait_read);
    }
}

awaitable<void> VhostUserDevice::agree() {
    for (;;) {
        const auto seen = changed_->generation();
        if (!channel_->is_open()) {
            co_await connect_again();
            continue;
        }
        const bool done = co_await take_a_step();
        if (!done && channel_->is_open()) co_await changed_->wait(seen);
    }
}

/// Returns whether there was anything to do.
awaitable<bool> VhostUserDevice::take_a_step() {
    for (unsigned index = 0; index < rings_.size(); ++index) {
        if (!rings_[index].served || rings_[index].wanted) continue;
        co_await stop_ring(index);
        co_return true;
    }
    for (unsigned index = 0; index < rings_.size(); ++index) {
        if (rings_[index].served || !rings_[index].wanted || rings_[index].lost) continue;
        const auto problem = co_await start_ring(index);
        if (!problem.empty()) channel_->close(problem);
        co_return true;
    }
    co_return false;
}

awaitable<std::string> VhostUserDevice::tell(Message message) {
    message.needs_reply = (back_end_.protocol & protocol_reply_ack) != 0;
    Reply reply;
    auto problem = co_await channel_->exchange(std::move(message), reply);
    co_return problem;
}

awaitable<std::string> VhostUserDevice::tell_memory() {
    const std::uint64_t features = (negotiated() | has_protocol_features) & back_end_.features;
    if (told_features_ != features) {
        auto problem = co_await tell(with_number(Request::set_features, features));
        if (!problem.empty()) co_return problem;
        told_features_ = features;
    }
    if (!knows_memory_) {
        auto problem = co_await tell(set_memory(shared_regions(context_->memory)));
        if (!problem.empty()) co_return problem;
        knows_memory_ = true;
    }
    co_return std::string();
}

/// The back end gives the area once; each one after it gets the same.
awaitable<std::string> VhostUserDevice::tell_inflight() {
    if ((back_end_.protocol & protocol_inflight) == 0 || knows_inflight_) co_return std::string();
    if (!inflight_) {
        const auto count = static_cast<std::uint16_t>(rings_.size());
        Reply reply;
        auto problem = co_await channel_->exchange(get_inflight(count, kind_.queues(back_end_).front().size), reply);
        if (!problem.empty()) co_return problem;
        Inflight given{.area = inflight_in(reply.answer), .memory = std::move(reply.descriptor)};
        given.area.queues = count;
        given.area.queue_size = kind_.queues(back_end_).front().size;
        inflight_ = std::move(given);
    }
    auto problem = co_await tell(set_inflight(inflight_->area, inflight_->memory.get()));
    knows_inflight_ = problem.empty();
    co_return problem;
}

awaitable<std::string> VhostUserDevice::start_ring(unsigned index) {
    Ring& ring = rings_[index];
    const virtio::RingSetup setup = *ring.wanted;
    const auto addresses = addresses_of(context_->memory, setup);
    const bool goes_on = ring.begun;
    std::optional<std::uint16_t> position = std::uint16_t{0};
    if (goes_on) position = position_after_death(context_->memory, setup, has_record());
    if (!addresses || !position) {
        ring.lost = true;
        need_reset(!addresses
                       ? fmt::format("ring {} is not in the guest's memory", index)
                       : fmt::format("nobody knows which requests of ring {} the last back end had under way", index));
        co_return std::string();
    }
    ring.served = true;
    auto problem = co_await tell_memory();
    if (!problem.empty()) co_return problem;
    problem = co_await tell_inflight();
    if (!problem.empty()) co_return problem;
    ring.begun = true;
    std::vector<Message> messages{for_ring(Request::set_vring_num, index, setup.size),
                                  for_ring(Request::set_vring_base, index, *position), set_addresses(index, *addresses),
                                  with_eventfd(Request::set_vring_call, index, ring.call.get()),
                                  with_eventfd(Request::set_vring_kick, index, ring.kick.get())};
    const bool starts_disabled = (back_end_.features & has_protocol_features) != 0;
    if (starts_disabled) messages.push_back(for_ring(Request::set_vring_enable, index, 1));
    for (auto& message : messages) {
        problem = co_await tell(std::move(message));
        if (!problem.empty()) co_return problem;
    }
    // What the driver made available while nobody served it, and what the last back end gave back without a call.
    signal(ring.kick);
    if (goes_on) interrupt(index);
    co_return std::string();
}

awaitable<void> VhostUserDevice::stop_ring(unsigned index) {
    std::string problem;
    if ((back_end_.features & has_protocol_features) != 0) {
        problem = co_await tell(for_ring(Request::set_vring_enable, index, 0));
    }
    Reply reply;
    if (problem.empty()) problem = co_await channel_->exchange(for_ring(Request::get_vring_base, index, 0), reply);
    if (!problem.empty()) co_return;  // the channel is closed, and connect_again() goes on
    rings_[index].served = false;
    changed_->notify();
}

}  // namespace asyncvm::vhost
