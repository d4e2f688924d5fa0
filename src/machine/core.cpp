#include "machine/core.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/event.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <system_error>
#include <utility>

#include "bus/device_loop_dispatcher.hpp"
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
      observers_(config_.observers),
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
        coalesced = std::make_shared<CoalescedWrites>(*ring, ports_, mmio_, observers_, config_.posted_burst_pause);
    }
    std::vector<std::unique_ptr<Vcpu>> made;
    for (unsigned index = 0; index < config_.cpus; ++index) {
        made.push_back(std::make_unique<Vcpu>(
            index, std::move(cpus[index]),
            Vcpu::Surroundings{memory_, ports_, mmio_, coalesced.get(), observers_,
                               [this](std::optional<Outcome> outcome) { vcpu_ended(std::move(outcome)); },
                               [change = change_] { change->notify(); }, config_.on_stop}));
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
    const auto takes_it = [&with](const auto& vcpu) { return vcpu->take_crash(with); };
    {
        const std::lock_guard lock(mutex_);
        if (with.kind == Outcome::Kind::crashed && config_.on_stop && std::ranges::any_of(vcpus_, takes_it)) return;
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

Statistics MachineCore::statistics() const {
    if (!recorder_) return {};
    Statistics statistics = recorder_->snapshot(stats::Clock::now());
    for (const auto& at : ports_.unclaimed_addresses()) statistics.unclaimed.push_back({Space::port, at});
    for (const auto& at : mmio_.unclaimed_addresses()) statistics.unclaimed.push_back({Space::memory, at});
    return statistics;
}

IrqLine MachineCore::irq(unsigned gsi) {
    auto* const controller = accelerator_ ? accelerator_->irqchip() : nullptr;
    if (controller == nullptr) return {};
    if (gsi >= pins_.size()) pins_.resize(gsi + 1);
    auto& pin = pins_[gsi];
    if (!pin) {
        pin = std::make_unique<IrqPin>([this, controller, gsi](bool level) {
            observers_.notify(&Observer::interrupt, gsi, level);
            controller->set(gsi, level);
        });
        controller->connect(gsi);
    }
    return IrqLine(*pin);
}

/// Where devices send messages; null without an interrupt controller.
InterruptController* MachineCore::messages() {
    auto* const controller = accelerator_->irqchip();
    if (controller == nullptr || observers_.empty()) return controller;
    if (!messages_) {
        messages_ = std::make_unique<WatchedMessages>(
            *controller, [this](const MsiMessage& message) { observers_.notify(&Observer::message, message); });
    }
    return messages_.get();
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
                                .irq =
                                    [weak = weak_from_this()](unsigned gsi) {
                                        const auto self = weak.lock();
                                        return self ? self->irq(gsi) : IrqLine();
                                    },
                                .interrupts = messages(),
                                .tell =
                                    [weak = weak_from_this(), name = slot->device->name()](std::string_view what) {
                                        const auto self = weak.lock();
                                        if (self) self->observers_.notify(&Observer::device_tells, name, what);
                                    },
                                .machine = weak_from_this()});
    }
}

/// Before the first vCPU starts.
void MachineCore::introduce_observers() {
    if (config_.statistics) {
        stats::Places places(ports_.standing_ranges(), mmio_.standing_ranges());
        for (auto& range : ports_.movable_ranges())
            places.add(Space::port, std::move(range.place), range.size, range.device);
        for (auto& range : mmio_.movable_ranges())
            places.add(Space::memory, std::move(range.place), range.size, range.device);
        recorder_ = std::make_shared<stats::MachineRecorder>(std::move(places), config_.cpus, stats::Clock::now());
        observers_.add(recorder_);
    }
    if (observers_.empty()) return;
    for (const auto& slot : slots_->all()) {
        if (!slot->dispatcher) continue;
        slot->dispatcher->watch(
            [this, name = slot->device->name()](bool begins) { observers_.notify(&Observer::loop_access, name, begins); });
    }
    observers_.notify(&Observer::run_begins, MachineLayout{.cpus = config_.cpus,
                                                           .ports = ports_.ranges(),
                                                           .mmio = mmio_.ranges(),
                                                           .port_bus = &ports_,
                                                           .mmio_bus = &mmio_});
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
            self->stop();
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
    stop();
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

}  // namespace asyncvm
