// What needs a machine at rest: pauses, resets, work on a vCPU's thread.
#include "machine/core.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/event.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "machine/crash_reporter.hpp"

namespace asyncvm {

namespace {

/// Something that is done on another thread while a coroutine waits for it.
class Work {
public:
    explicit Work(std::function<void()> work) : work_(std::move(work)) {}

    void perform() noexcept {
        try {
            work_();
        } catch (...) {
            failure_ = std::current_exception();
        }
        done_->complete();
    }

    /// Throws what the work has thrown.
    [[nodiscard]] awaitable<void> performed() {
        co_await done_->wait();
        if (failure_) std::rethrow_exception(failure_);
    }

private:
    const std::function<void()> work_;
    std::exception_ptr failure_;
    const std::shared_ptr<OneShot> done_ = std::make_shared<OneShot>();
};

}  // namespace

void MachineCore::begin_rest() noexcept {
    gate_->close();
    if (own_clock_) own_clock_->stand();
    for (const auto& vcpu : vcpus_) vcpu->pause();
}

void MachineCore::end_rest() noexcept {
    if (own_clock_) own_clock_->go_on();
    gate_->open();
    for (const auto& vcpu : vcpus_) vcpu->resume();
}

/// Until all vCPUs rest, but for those whose accesses devices hold open longer than the patience; `all`: their accesses are
/// cancelled. Throws Error(host) for a vCPU that can't be brought to rest.
awaitable<void> MachineCore::come_to_rest(std::shared_ptr<MachineCore> self, bool all) {
    const auto begin = std::chrono::steady_clock::now();
    auto limit = begin + self->config_.cancellation_patience;
    bool patient = true;
    for (;;) {
        const auto seen = self->change_->generation();
        std::vector<Vcpu*> awake;
        for (const auto& vcpu : self->vcpus_) {
            if (!vcpu->at_rest()) awake.push_back(vcpu.get());
        }
        if (awake.empty() || self->has_outcome()) co_return;
        if (!patient && !all &&
            std::ranges::none_of(awake, [](const Vcpu* vcpu) { return vcpu->place().kind == VcpuPlace::Kind::guest; })) {
            co_return;
        }
        const auto now = std::chrono::steady_clock::now();
        const bool late = now >= limit;
        if (late && !patient) {
            throw self->no_rest(*awake.front());
        }
        if (late) {
            patient = false;
            limit = now + self->config_.stop_limit;
            continue;
        }
        co_await self->change_->wait(seen, limit - now);
    }
}

Error MachineCore::no_rest(const Vcpu& vcpu) const {
    return {ErrorKind::host,
            fmt::format("vCPU {} does not come to rest: it is still in {}", vcpu.index(), describe(vcpu.place()))};
}

/// A device that holds an access open may still run code on the vCPU's thread, which gets to its next suspension. Throws
/// Error(host) if it does not.
awaitable<void> MachineCore::end_device_code(std::shared_ptr<MachineCore> self) {
    for (const auto& vcpu : self->vcpus_) {
        if (vcpu->at_rest() || self->has_outcome()) continue;
        const auto done = std::make_shared<Event>();
        const auto seen = done->generation();
        if (!vcpu->call([done](Cpu&) { done->notify(); })) continue;
        const bool ended = co_await done->wait(seen, self->config_.stop_limit);
        if (!ended && !self->has_outcome()) throw self->no_rest(*vcpu);
    }
}

/// What is in the ring, unless a device holds it up: then it stays there.
awaitable<void> MachineCore::drain_posted(std::shared_ptr<MachineCore> self) {
    if (!self->coalesced_ || !self->coalesced_->pending()) co_return;
    const auto done = std::make_shared<Event>();
    const auto seen = done->generation();
    auto work = own(self, self->coalesced_->drain());
    auto ended = [done](std::exception_ptr) { done->notify(); };
    // On the device loop: what a device holds up must not keep the caller's context busy.
    asio::co_spawn(self->device_loop_, std::move(work), std::move(ended));
    co_await done->wait(seen, self->config_.cancellation_patience);
}

awaitable<Pause> MachineCore::pause(std::shared_ptr<MachineCore> self) {
    Lifecycle::Pause verdict{};
    {
        const std::lock_guard lock(self->mutex_);
        verdict = self->lifecycle_.pause();
        if (verdict == Lifecycle::Pause::begins) self->begin_rest();
    }
    Pause held(self);
    while (verdict != Lifecycle::Pause::at_rest) {
        const auto seen = self->change_->generation();
        if (self->state() == Lifecycle::State::pausing) {
            // A pause that joins does the same: the one that began may be cancelled.
            co_await come_to_rest(self, false);
            co_await end_device_code(self);
            co_await drain_posted(self);
            // Device code that is running on the device loop gets to its next suspension.
            co_await asio::post(self->device_loop_, use_awaitable);
            bool begins = false;
            {
                const std::lock_guard lock(self->mutex_);
                begins = self->lifecycle_.state() == Lifecycle::State::pausing && self->lifecycle_.paused();
            }
            if (begins) self->observers_.notify(&Observer::paused);
        }
        bool moving = false;
        {
            const std::lock_guard lock(self->mutex_);
            moving = self->lifecycle_.moving();
        }
        if (!moving) break;
        co_await self->change_->wait(seen);
    }
    co_return held;
}

void MachineCore::release_pause() noexcept {
    bool goes_on = false;
    {
        const std::lock_guard lock(mutex_);
        const bool rested = lifecycle_.state() == Lifecycle::State::paused;
        goes_on = lifecycle_.resume();
        if (goes_on && rested) observers_.notify(&Observer::unpaused);
        if (goes_on) end_rest();
    }
    if (goes_on) change_->notify();
}

/// One at a time, and not cut in the middle.
awaitable<void> MachineCore::reset(std::shared_ptr<MachineCore> self) {
    if (!self->config_.resettable) {
        throw Error(ErrorKind::usage, "this machine can't be reset: MachineConfig::resettable is false");
    }
    if (!self->reset_mutex_.try_lock()) co_await self->reset_mutex_.lock();
    const AsyncLock alone(self->reset_mutex_);
    const Pause held = co_await pause(self);
    {
        const std::lock_guard lock(self->mutex_);
        if (!self->lifecycle_.reset()) throw Error(ErrorKind::usage, "there is no guest that runs: nothing to reset");
    }
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    std::exception_ptr failure;
    try {
        co_await reset_at_rest(self);
        self->reset_expected_ = false;
        self->observers_.notify(&Observer::was_reset);
    } catch (...) {
        failure = std::current_exception();
    }
    co_await asio::this_coro::reset_cancellation_state();
    if (failure) std::rethrow_exception(failure);
}

/// Device::before_reset() of each device, on the device loop. A device whose function throws has ended its work, as far as
/// it can.
awaitable<void> MachineCore::end_device_work(std::shared_ptr<MachineCore> self) {
    for (const auto& slot : self->slots_->all()) {
        const auto done = std::make_shared<OneShot>();
        auto work = own(self, slot->device->before_reset());
        auto ended = [done](std::exception_ptr) { done->complete(); };
        asio::co_spawn(self->device_loop_, std::move(work), std::move(ended));
        co_await done->wait();
    }
}

awaitable<void> MachineCore::reset_at_rest(std::shared_ptr<MachineCore> self) {
    for (const auto& vcpu : self->vcpus_) {
        if (!vcpu->at_rest()) vcpu->cancel_access();
    }
    co_await come_to_rest(self, true);
    co_await end_device_work(self);
    const auto devices = std::make_shared<Work>([self] {
        for (const auto& slot : self->slots_->all()) slot->device->reset();
        if (self->config_.on_reset) self->config_.on_reset();
        self->restart_halted();
    });
    asio::post(self->device_loop_, [devices] { devices->perform(); });
    co_await devices->performed();
    std::exception_ptr failure;
    try {
        co_await restore_start(self);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        // The guest must not go on.
        self->finish(outcome_of_exception(failure, 0));
        std::rethrow_exception(failure);
    }
}

/// All vCPUs rest: gives them, and then what they share, the state of the start.
awaitable<void> MachineCore::restore_start(std::shared_ptr<MachineCore> self) {
    for (const auto& vcpu : self->vcpus_) {
        if (!vcpu->alive()) continue;
        std::function<void(Cpu&)> work = [vcpu = vcpu.get()](Cpu&) { vcpu->reset_state(); };
        co_await call(self, vcpu->index(), std::move(work));
    }
    self->accelerator_->restore_state(self->started_as_);
}

/// In a pause, on the device loop: run() looks there whether a vCPU is left.
void MachineCore::restart_halted() {
    if ((running_.load() == 0 && !outlives_halt()) || has_outcome()) return;
    for (const auto& vcpu : vcpus_) {
        if (vcpu->alive()) continue;
        vcpu->join();
        start_vcpu(*vcpu);
    }
}

awaitable<void> MachineCore::call(std::shared_ptr<MachineCore> self, unsigned index, std::function<void(Cpu&)> work) {
    if (!self->accelerator_) self->adopt_prepared();
    Vcpu& vcpu = *self->vcpus_.at(index);
    const auto made = std::make_shared<Work>([work = std::move(work), &vcpu] { work(vcpu.cpu()); });
    const bool taken = vcpu.call([made](Cpu&) { made->perform(); });
    if (!taken) made->perform();
    co_await made->performed();
}

awaitable<std::string> MachineCore::report(std::shared_ptr<MachineCore> self, unsigned index) {
    if (index >= self->config_.cpus) throw std::out_of_range("there is no such vCPU");
    // It shows memory, which a reset writes.
    if (!self->reset_mutex_.try_lock()) co_await self->reset_mutex_.lock();
    const AsyncLock held(self->reset_mutex_);
    std::string text;
    if (self->vcpus_.empty() || !(self->vcpus_[index]->alive() || self->vcpus_[index]->halted())) co_return text;
    // Shared: the work may come when the wait for it has been given up.
    const auto made = std::make_shared<std::string>();
    std::function<void(Cpu&)> work = [self, index, made](Cpu&) {
        auto& vcpu = *self->vcpus_[index];
        const auto place = vcpu.place();
        *made = vcpu.report();
        if (place.kind == VcpuPlace::Kind::guest) return;
        made->insert(made->find('\n') + 1, fmt::format("it waits for {}\n", self->describe(place)));
    };
    co_await call(self, index, std::move(work));
    text = *made;
    co_return text;
}

}  // namespace asyncvm
