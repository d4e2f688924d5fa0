#include "machine/core.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/event.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include "bus/device_loop_dispatcher.hpp"
#include "bus/ioevent.hpp"
#include "machine/abandoned.hpp"

namespace asyncvm {

using namespace std::chrono_literals;

namespace {

Outcome stopped() {
    Outcome outcome;
    outcome.kind = Outcome::Kind::stopped;
    outcome.summary = "stopped";
    return outcome;
}

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

/// Silent as soon as the handle is gone: what `log` refers to may have gone with it.
MachineConfig with_log_of_handle(MachineConfig config, const std::shared_ptr<std::atomic<bool>>& heard) {
    if (config.log) {
        config.log = [log = std::move(config.log), heard](std::string_view line) {
            if (heard->load()) log(line);
        };
    }
    return config;
}

}  // namespace

MachineCore::MachineCore(MachineConfig config, AcceleratorMaker make, asio::io_context& loop)
    : config_(with_log_of_handle(std::move(config), heard_)),
      memory_(config_.memory_size, {.huge_pages = config_.huge_pages, .shared = config_.memory_share, .log = config_.log}),
      device_loop_(loop),
      own_clock_(config_.clock ? nullptr : std::make_shared<PausableClock>()),
      slots_(std::make_shared<DeviceSlots>(loop, config_.log)),
      ports_(Space::port, slots_),
      mmio_(Space::memory, slots_),
      preparation_(std::in_place, std::move(make), config_.cpus, memory_, change_) {
    // A time that is added to now() must not pass the last one there is.
    constexpr std::chrono::milliseconds longest = std::chrono::years(100);
    config_.cancellation_patience = std::clamp(config_.cancellation_patience, 0ms, longest);
    config_.stop_limit = std::clamp(config_.stop_limit, 0ms, longest);
    if (own_clock_) config_.clock = own_clock_;
    if (!config_.random) config_.random = make_host_random();
}

MachineCore::MachineCore(MachineConfig config, std::unique_ptr<Accelerator> accelerator, asio::io_context& loop)
    : MachineCore(std::move(config), AcceleratorMaker(), loop) {
    preparation_.reset();
    std::vector<std::unique_ptr<Cpu>> cpus;
    for (unsigned index = 0; index < config_.cpus; ++index) cpus.push_back(accelerator->create_cpu(index));
    adopt(std::move(accelerator), std::move(cpus));
}

MachineCore::~MachineCore() {
    if (coalesced_) coalesced_->shut();
}

/// Throws what the preparation threw.
void MachineCore::adopt_prepared() {
    Preparation::Made made = preparation_->take();
    mapped_ = true;
    adopt(std::move(made.accelerator), std::move(made.cpus));
    // Otherwise after the run.
    if (preparation_->idle()) preparation_.reset();
}

void MachineCore::adopt(std::unique_ptr<Accelerator> accelerator, std::vector<std::unique_ptr<Cpu>> cpus) {
    accelerator_ = std::move(accelerator);
    std::shared_ptr<CoalescedWrites> coalesced;
    if (auto* const ring = config_.posted_burst_pause.count() > 0 ? accelerator_->posted_writes() : nullptr;
        ring != nullptr) {
        coalesced = std::make_shared<CoalescedWrites>(*ring, ports_, mmio_, config_.posted_burst_pause);
    }
    std::vector<std::unique_ptr<Vcpu>> made;
    for (unsigned index = 0; index < config_.cpus; ++index) {
        made.push_back(std::make_unique<Vcpu>(
            index, std::move(cpus[index]),
            Vcpu::Surroundings{memory_, ports_, mmio_, coalesced.get(),
                               [this](std::optional<Outcome> outcome) { vcpu_ended(std::move(outcome)); },
                               [change = change_] { change->notify(); }}));
    }
    const std::lock_guard lock(mutex_);
    coalesced_ = std::move(coalesced);
    vcpus_ = std::move(made);
    lifecycle_.prepare();
    // Who ended the run until now has found none.
    if (outcome_) stop_vcpus();
}

void MachineCore::stop_vcpus() noexcept {
    for (const auto& vcpu : vcpus_) vcpu->stop();
}

Cpu& MachineCore::cpu(unsigned index) {
    if (!accelerator_) adopt_prepared();
    return vcpus_.at(index)->cpu();
}

void MachineCore::set_registers(unsigned index, const Registers& registers) {
    if (!accelerator_) {
        preparation_->set_registers(index, registers);
    } else {
        cpu(index).set_registers(registers);
    }
}

void MachineCore::prepare() {
    if (!accelerator_) preparation_->begin();
}

/// On a vCPU's thread.
void MachineCore::vcpu_ended(std::optional<Outcome> outcome) {
    const auto change = change_;
    if (outcome) finish(std::move(*outcome));
    // With the last of these the core may go, on another thread.
    running_.fetch_sub(1);
    change->notify();
}

void MachineCore::stop() noexcept { finish(stopped()); }

void MachineCore::finish(Outcome with) noexcept {
    {
        const std::lock_guard lock(mutex_);
        if (!lifecycle_.finish()) return;
        outcome_ = std::move(with);
        stop_vcpus();
    }
    change_->notify();
}

bool MachineCore::has_outcome() {
    const std::lock_guard lock(mutex_);
    return outcome_.has_value();
}

Lifecycle::State MachineCore::state() {
    const std::lock_guard lock(mutex_);
    return lifecycle_.state();
}

std::uint64_t MachineCore::posted_writes() noexcept {
    const std::lock_guard lock(mutex_);
    return coalesced_ ? coalesced_->delivered() : 0;
}

Statistics MachineCore::statistics() const { return recorder_ ? recorder_->snapshot(stats::Clock::now()) : Statistics(); }

IrqLine MachineCore::irq(unsigned gsi) {
    auto* const controller = accelerator_ ? accelerator_->irqchip() : nullptr;
    if (controller == nullptr) return {};
    if (gsi >= pins_.size()) pins_.resize(gsi + 1);
    auto& pin = pins_[gsi];
    if (!pin) pin = std::make_unique<IrqPin>([controller, gsi](bool level) { controller->set(gsi, level); });
    return IrqLine(*pin);
}

void MachineCore::introduce_devices() {
    for (const auto& slot : slots_->all()) {
        if (slot->dispatcher) slot->dispatcher->keep_during_accesses(weak_from_this());
        // A line that is asked for later must not keep the machine alive.
        slot->device->attached({.memory = memory_,
                                .loop = device_loop_,
                                .log = config_.log,
                                .clock = *config_.clock,
                                .random = *config_.random,
                                .gate = gate_,
                                .irq = [weak = weak_from_this()](unsigned gsi) {
                                    const auto self = weak.lock();
                                    return self ? self->irq(gsi) : IrqLine();
                                }});
    }
}

/// Before the first vCPU starts.
void MachineCore::start_recorder() {
    if (!config_.statistics) return;
    recorder_ = std::make_unique<stats::MachineRecorder>(stats::Places(ports_.ranges(), mmio_.ranges()), config_.cpus,
                                                         stats::Clock::now());
    for (unsigned index = 0; index < config_.cpus; ++index) vcpus_[index]->record_on(recorder_->cpu(index));
    if (coalesced_) coalesced_->record_on(*recorder_);
}

void MachineCore::start_vcpu(Vcpu& vcpu) {
    running_.fetch_add(1);
    try {
        vcpu.start();
    } catch (...) {
        running_.fetch_sub(1);
        throw;
    }
}

awaitable<void> MachineCore::prepared(std::shared_ptr<MachineCore> self) {
    while (!self->accelerator_) {
        const auto seen = self->change_->generation();
        self->preparation_->help();
        if (self->preparation_->done()) {
            self->adopt_prepared();
            break;
        }
        bool cancelled = false;
        try {
            co_await self->change_->wait(seen);
        } catch (const std::system_error&) {
            cancelled = true;
        }
        if (cancelled) {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            self->finish(stopped());
        }
    }
}

std::string MachineCore::describe(const VcpuPlace& place) const {
    switch (place.kind) {
        case VcpuPlace::Kind::guest:
            return fmt::format("the guest, in accelerator {}", accelerator_->name());
        case VcpuPlace::Kind::posted:
            return "the delivery of posted writes";
        case VcpuPlace::Kind::access:
            break;
    }
    const auto name = (place.space == Space::port ? ports_ : mmio_).device_name(place.address);
    return fmt::format("device {} ({} {:#x})", name.empty() ? "(none)" : name,
                       place.space == Space::port ? "port" : "address", place.address);
}

/// What each vCPU that has not ended is doing.
void MachineCore::report_stuck() {
    for (const auto& vcpu : vcpus_) {
        if (!vcpu->alive()) continue;
        const VcpuPlace place = vcpu->place();
        if (place.kind == VcpuPlace::Kind::guest) {
            config_.log(fmt::format("vCPU {} was told to stop {} ms ago and is still in {}", vcpu->index(),
                                    config_.cancellation_patience.count(), describe(place)));
        } else {
            config_.log(
                fmt::format("vCPU {} was told to stop {} ms ago: {} does not react to the cancellation of its access, "
                            "which is abandoned",
                            vcpu->index(), config_.cancellation_patience.count(), describe(place)));
        }
    }
}

bool MachineCore::join_within(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    return std::ranges::all_of(vcpus_, [until](const auto& vcpu) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        return vcpu->join_within(std::max(left, 0ms));
    });
}

/// A thread that does not leave the accelerator can't be ended: what it uses stays for ever.
void MachineCore::leave_behind() {
    bool any = false;
    for (const auto& vcpu : vcpus_) {
        if (vcpu->left_behind() || vcpu->join_within(0ms)) continue;
        config_.log(fmt::format("vCPU {} is left behind in {}", vcpu->index(), describe(vcpu->place())));
        vcpu->leave_behind();
        any = true;
    }
    if (any) keep_for_ever(shared_from_this());
}

/// After the vCPUs' threads: the answer to an abandoned access may still come, to the io_context of its vCPU.
void MachineCore::keep_abandoned() {
    for (const auto& vcpu : vcpus_) vcpu->end_cancelled_access();
    const bool any = std::ranges::any_of(vcpus_, [](const auto& vcpu) { return vcpu->has_abandoned_access(); });
    if (any) keep_until_loop_ends(device_loop_, shared_from_this());
}

void MachineCore::let_go() noexcept {
    finish(stopped());
    {
        // Nobody may run the device loop for these vCPUs any more: what they await there may never come.
        const std::lock_guard lock(mutex_);
        for (const auto& vcpu : vcpus_) vcpu->abandon();
    }
    try {
        if (join_within(config_.stop_limit)) {
            keep_abandoned();
        } else {
            leave_behind();
        }
    } catch (...) {
        // No memory to keep it: better a leak than a thread without its machine.
        static_cast<void>(new std::shared_ptr<MachineCore>(shared_from_this()));
    }
    heard_->store(false);
    change_->notify();
}

/// Until no vCPU runs, or one is left behind. A cancellation stops the machine.
awaitable<void> MachineCore::wait_for_vcpus(std::shared_ptr<MachineCore> self) {
    enum class Patience : std::uint8_t { cancellation, stop, none };
    auto patience = Patience::cancellation;
    for (;;) {
        const auto seen = self->change_->generation();
        if (self->running_.load() == 0) co_return;
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
            self->finish(stopped());
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
    self->start_recorder();
    auto ioevents = self->ports_.ioevents();
    for (auto& ioevent : self->mmio_.ioevents()) ioevents.push_back(std::move(ioevent));
    Doorbells doorbells(*self->accelerator_, std::move(ioevents), self->coalesced_);
    doorbells.start(background);
    if (self->coalesced_) background.start("posted writes", CoalescedWrites::run(self->coalesced_));
    std::exception_ptr failure;
    try {
        self->start_vcpus();
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) self->finish(stopped());
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
    // Without an outcome of the guest's own nobody may be there who takes its output.
    if (self->coalesced_) co_await self->coalesced_->finish(100ms);
    co_await doorbells.finish(100ms);
    self->slots_->close();
    if (self->recorder_) self->recorder_->finish(stats::Clock::now());
    co_await background.finish();
    if (failure) std::rethrow_exception(failure);
    Outcome outcome;
    {
        const std::lock_guard lock(self->mutex_);
        outcome = self->outcome_.value_or(Outcome{});
    }
    if (!joined) {
        outcome.kind = Outcome::Kind::failed;
        outcome.summary =
            fmt::format("a vCPU does not leave accelerator {}: its thread is left behind", self->accelerator_->name());
    }
    co_return outcome;
}

/// At rest, if somebody wants a pause from the first instruction on.
void MachineCore::start_vcpus() {
    {
        const std::lock_guard lock(mutex_);
        if (lifecycle_.state() == Lifecycle::State::pausing) begin_rest();
    }
    for (const auto& vcpu : vcpus_) vcpu->remember_registers();
    for (const auto& vcpu : vcpus_) start_vcpu(*vcpu);
}

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
            throw Error(ErrorKind::host, fmt::format("vCPU {} does not come to rest: it is still in {}",
                                                     awake.front()->index(), self->describe(awake.front()->place())));
        }
        if (late) {
            patient = false;
            limit = now + self->config_.stop_limit;
            continue;
        }
        co_await self->change_->wait(seen, limit - now);
    }
}

/// What is in the ring, unless a device holds it up: then it stays there.
awaitable<void> MachineCore::drain_posted(std::shared_ptr<MachineCore> self) {
    if (!self->coalesced_ || !self->coalesced_->pending()) co_return;
    const auto done = std::make_shared<Event>();
    const auto seen = done->generation();
    const auto executor = co_await asio::this_coro::executor;
    auto work = self->coalesced_->drain();
    auto ended = [self, done](std::exception_ptr) { done->notify(); };
    asio::co_spawn(executor, std::move(work), std::move(ended));
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
            // Who joins does the same: the one who began may be cancelled.
            co_await come_to_rest(self, false);
            co_await drain_posted(self);
            // Device code that is running on the device loop gets to its next suspension.
            co_await asio::post(self->device_loop_, use_awaitable);
            const std::lock_guard lock(self->mutex_);
            self->lifecycle_.paused();
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
        goes_on = lifecycle_.resume();
        if (goes_on) end_rest();
    }
    if (goes_on) change_->notify();
}

/// One at a time, and not cut in the middle.
awaitable<void> MachineCore::reset(std::shared_ptr<MachineCore> self) {
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
    } catch (...) {
        failure = std::current_exception();
    }
    co_await asio::this_coro::reset_cancellation_state();
    if (failure) std::rethrow_exception(failure);
}

awaitable<void> MachineCore::reset_at_rest(std::shared_ptr<MachineCore> self) {
    for (const auto& vcpu : self->vcpus_) {
        if (!vcpu->at_rest()) vcpu->cancel_access();
    }
    co_await come_to_rest(self, true);
    const auto devices = std::make_shared<Work>([self] {
        for (const auto& slot : self->slots_->all()) slot->device->reset();
        if (self->config_.on_reset) self->config_.on_reset();
        self->restart_halted();
    });
    asio::post(self->device_loop_, [devices] { devices->perform(); });
    co_await devices->performed();
    for (const auto& vcpu : self->vcpus_) {
        if (!vcpu->alive()) continue;
        std::function<void(Cpu&)> work = [vcpu = vcpu.get()](Cpu&) { vcpu->reset_registers(); };
        co_await call(self, vcpu->index(), std::move(work));
    }
}

/// In a pause, on the device loop: run() looks there whether a vCPU is left.
void MachineCore::restart_halted() {
    if (running_.load() == 0 || has_outcome()) return;
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

}  // namespace asyncvm
