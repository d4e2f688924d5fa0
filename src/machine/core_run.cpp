// The run of a machine, from the first vCPU to the last piece of background work.
#include "machine/core.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/event.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

#include "bus/ioevent.hpp"
#include "machine/sleep_watch.hpp"

namespace asyncvm {

using namespace std::chrono_literals;

/// Until no vCPU runs, or one is left behind. A cancellation stops the machine.
awaitable<void> MachineCore::wait_for_vcpus(std::shared_ptr<MachineCore> self) {
    enum class Patience : std::uint8_t { cancellation, stop };
    auto patience = Patience::cancellation;
    for (;;) {
        const auto seen = self->change_->generation();
        // With none left the machine has ended, unless it waits for whoever stops it.
        if (self->running_.load() == 0 && (!self->outlives_halt() || self->has_outcome())) co_return;
        auto limit = Event::no_limit;
        if (self->has_outcome()) {
            if (patience == Patience::cancellation) limit = self->config_.cancellation_patience;
            if (patience == Patience::stop) limit = self->config_.stop_limit;
        }
        const auto cancellation = co_await asio::this_coro::cancellation_state;
        bool cancelled = cancellation.cancelled() != asio::cancellation_type::none;
        bool changed = true;
        try {
            if (!cancelled) changed = co_await self->change_->wait(seen, limit);
        } catch (const std::system_error&) {
            cancelled = true;
        }
        if (cancelled) {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            self->stop();
        } else if (!changed && patience == Patience::cancellation) {
            patience = Patience::stop;
            self->report_stuck();
            for (const auto& vcpu : self->vcpus_) {
                vcpu->stop();
                vcpu->abandon();
            }
        } else if (!changed) {
            co_return;
        }
    }
}

awaitable<Outcome> MachineCore::run(std::shared_ptr<MachineCore> self) {
    {
        const std::lock_guard lock(self->mutex_);
        if (self->lifecycle_.run() == Lifecycle::Run::forbidden) {
            throw Error(ErrorKind::usage, "Machine::run() is for once: this machine runs or has run already");
        }
    }
    Outcome outcome;
    std::exception_ptr failure;
    try {
        outcome = co_await run_guest(self);
    } catch (...) {
        failure = std::current_exception();
    }
    {
        const std::lock_guard lock(self->mutex_);
        self->lifecycle_.end();
    }
    self->change_->notify();
    co_await asio::this_coro::reset_cancellation_state();
    co_await asio::this_coro::throw_if_cancelled(true);
    if (failure) std::rethrow_exception(failure);
    co_return outcome;
}

awaitable<Outcome> MachineCore::run_guest(std::shared_ptr<MachineCore> self) {
    co_await prepared(self);
    // From here on a cancellation stops the machine, and what must follow follows.
    co_await asio::this_coro::throw_if_cancelled(false);
    if (!self->mapped_) self->accelerator_->map(self->memory_);
    Background background(self->device_loop_, self->config_.log, self);
    self->introduce_devices();
    for (const auto& slot : self->slots_->all())
        background.start(fmt::format("device {}", slot->device->name()), DeviceSlot::run(slot));
    self->introduce_observers();
    auto ioevents = self->ports_.ioevents();
    for (auto& ioevent : self->mmio_.ioevents()) ioevents.push_back(std::move(ioevent));
    Doorbells doorbells(*self->accelerator_, std::move(ioevents), self->coalesced_, self->observers_);
    doorbells.start(background);
    if (self->coalesced_) background.start("posted writes", CoalescedWrites::run(self->coalesced_));
    if (self->accelerator_->irqchip() != nullptr && !self->config_.wait_when_halted) {
        background.start("watch over vCPUs that sleep", watch_sleep(self));
    }
    std::exception_ptr failure;
    try {
        self->start_vcpus();
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) self->stop();
    co_await wait_for_vcpus(self);
    // What follows is short and must not be cut: without it background work would go on for ever.
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    const bool joined = self->join_within(self->running_.load() == 0 ? self->config_.stop_limit : 0ms);
    if (joined) {
        self->preparation_.reset();
        self->keep_abandoned();
    } else {
        self->leave_behind();
    }
    self->end_rest();
    // When the guest did not end by itself, there may be no client for its output.
    if (self->coalesced_) co_await self->coalesced_->finish(100ms);
    co_await doorbells.finish(100ms);
    self->slots_->close();
    self->observers_.notify(&Observer::run_ended);
    co_await background.finish();
    if (failure) std::rethrow_exception(failure);
    Outcome outcome;
    if (self->has_outcome()) {
        const std::lock_guard lock(self->mutex_);
        outcome = *self->outcome_;
    } else {
        outcome = self->how_it_halted();
    }
    if (!joined) {
        outcome.kind = Outcome::Kind::failed;
        outcome.cpu.reset();
        outcome.summary =
            fmt::format("a vCPU does not leave accelerator {}: its thread is left behind", self->accelerator_->name());
    }
    co_return outcome;
}

/// All vCPUs have halted, or could not be started.
Outcome MachineCore::how_it_halted() {
    std::vector<Activity> activities;
    for (const auto& vcpu : vcpus_) {
        activities.push_back(vcpu->halted() ? vcpu->cpu().activity() : Activity::not_started);
    }
    return halted_outcome(activities);
}

/// Where HLT is no exit.
awaitable<void> MachineCore::watch_sleep(std::shared_ptr<MachineCore> self) {
    SleepWatch watch;
    asio::steady_timer timer(self->device_loop_);
    const auto used = [&self] {
        std::vector<SleepWatch::Time> times;
        for (const auto& vcpu : self->vcpus_) times.push_back(vcpu->processor_time());
        return times;
    };
    for (;;) {
        timer.expires_after(watch.interval());
        co_await timer.async_wait(use_awaitable);
        if (self->state() != Lifecycle::State::running || self->outlives_halt()) continue;
        const bool in_guest =
            std::ranges::all_of(self->vcpus_, [](const auto& vcpu) { return vcpu->place().kind == VcpuPlace::Kind::guest; });
        const bool still = watch.look(used(), in_guest);
        if (!still) continue;
        std::vector<Activity> activities;
        for (unsigned cpu = 0; cpu < self->config_.cpus; ++cpu) {
            const auto activity = std::make_shared<Activity>(Activity::runs);
            std::function<void(Cpu&)> work = [activity](Cpu& asked) { *activity = asked.activity(); };
            co_await call(self, cpu, std::move(work));
            activities.push_back(*activity);
            if (*activity == Activity::runs || *activity == Activity::sleeps) break;
        }
        if (!SleepWatch::is_over(activities) || self->state() != Lifecycle::State::running || self->outlives_halt()) {
            watch.asked(used());
            continue;
        }
        for (std::size_t cpu = 0; cpu < activities.size(); ++cpu) {
            if (activities[cpu] != Activity::not_started) self->vcpus_[cpu]->has_halted();
        }
        self->finish(halted_outcome(activities));
        co_return;
    }
}

/// At rest, if a pause is held already.
void MachineCore::start_vcpus() {
    {
        const std::lock_guard lock(mutex_);
        if (lifecycle_.state() == Lifecycle::State::pausing) begin_rest();
    }
    for (const auto& vcpu : vcpus_) vcpu->remember(config_.resettable);
    if (config_.resettable) started_as_ = accelerator_->save_state();
    for (const auto& vcpu : vcpus_) start_vcpu(*vcpu);
}

}  // namespace asyncvm
