#include <asyncvm/error.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/machine.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <optional>
#include <utility>

#include "machine/background.hpp"
#include "machine/coalesced_writes.hpp"
#include "machine/doorbells.hpp"
#include "machine/preparation.hpp"
#include "machine/surroundings.hpp"
#include "machine/vcpu.hpp"
#include "stats/machine_recorder.hpp"

namespace asyncvm {

using namespace std::chrono_literals;

namespace {

Outcome stopped() {
    Outcome outcome;
    outcome.kind = Outcome::Kind::stopped;
    outcome.summary = "stopped";
    return outcome;
}

}  // namespace

struct Machine::Impl {
    Impl(MachineConfig c, AcceleratorMaker make, asio::io_context& loop)
        : config(std::move(c)),
          memory(config.memory_size),
          device_loop(loop),
          ports(Space::port, loop, config.log),
          mmio(Space::memory, loop, config.log),
          preparation(std::in_place, std::move(make), config.cpus, memory, change) {}

    Impl(MachineConfig c, std::unique_ptr<Accelerator> a, asio::io_context& loop)
        : config(std::move(c)),
          memory(config.memory_size),
          device_loop(loop),
          ports(Space::port, loop, config.log),
          mmio(Space::memory, loop, config.log) {
        std::vector<std::unique_ptr<Cpu>> cpus;
        for (unsigned index = 0; index < config.cpus; ++index) cpus.push_back(a->create_cpu(index));
        adopt(std::move(a), std::move(cpus));
    }

    /// Throws what the preparation threw.
    void adopt_prepared() {
        Preparation::Made made = preparation->take();
        mapped = true;
        adopt(std::move(made.accelerator), std::move(made.cpus));
        // Otherwise after the run.
        if (preparation->idle()) preparation.reset();
    }

    void adopt(std::unique_ptr<Accelerator> a, std::vector<std::unique_ptr<Cpu>> cpus) {
        accelerator = std::move(a);
        std::shared_ptr<CoalescedWrites> collected;
        if (auto* const writes = config.posted_burst_pause.count() > 0 ? accelerator->posted_writes() : nullptr;
            writes != nullptr) {
            collected = std::make_shared<CoalescedWrites>(*writes, ports, mmio, config.posted_burst_pause);
        }
        std::vector<std::unique_ptr<Vcpu>> made;
        for (unsigned index = 0; index < config.cpus; ++index) {
            made.push_back(std::make_unique<Vcpu>(
                index, std::move(cpus[index]),
                Vcpu::Surroundings{memory, ports, mmio, collected.get(),
                                   [this](std::optional<Outcome> outcome) { ended(std::move(outcome)); }}));
        }
        const std::lock_guard lock(mutex);
        coalesced = std::move(collected);
        vcpus = std::move(made);
        // Who ended the run until now has found none.
        if (outcome) stop_vcpus();
    }

    void stop_vcpus() noexcept {
        for (const auto& vcpu : vcpus) vcpu->stop();
    }

    /// Made here and now, if nobody has begun.
    [[nodiscard]] Cpu& cpu(unsigned index) {
        if (!accelerator) adopt_prepared();
        return vcpus.at(index)->cpu();
    }

    /// On a vCPU's thread.
    void ended(std::optional<Outcome> outcome) {
        if (outcome) finish(std::move(*outcome));
        running.fetch_sub(1);
        change->notify();
    }

    void finish(Outcome with) noexcept {
        {
            const std::lock_guard lock(mutex);
            if (outcome) return;
            outcome = std::move(with);
            stop_vcpus();
        }
        change->notify();
    }

    [[nodiscard]] std::uint64_t posted_writes() noexcept {
        const std::lock_guard lock(mutex);
        return coalesced ? coalesced->delivered() : 0;
    }

    [[nodiscard]] bool has_outcome() {
        const std::lock_guard lock(mutex);
        return outcome.has_value();
    }

    void join_all() {
        for (const auto& vcpu : vcpus) vcpu->join();
    }

    awaitable<void> prepared();
    awaitable<void> wait_for_vcpus();

    /// Each device once, before its first access.
    void tell_devices() {
        const DeviceContext context{.memory = memory,
                                    .loop = device_loop,
                                    .log = config.log,
                                    .clock = clock,
                                    .random = random,
                                    .irq = [](unsigned) { return IrqLine(); }};
        auto devices = ports.devices();
        for (auto& device : mmio.devices()) {
            if (std::ranges::find(devices, device) == devices.end()) devices.push_back(std::move(device));
        }
        for (const auto& device : devices) device->attached(context);
    }

    /// Before the first vCPU starts.
    void start_recorder() {
        if (!config.statistics) return;
        recorder = std::make_unique<stats::MachineRecorder>(stats::Places(ports.ranges(), mmio.ranges()), config.cpus,
                                                            stats::Clock::now());
        for (unsigned index = 0; index < config.cpus; ++index) vcpus[index]->record_on(recorder->cpu(index));
        if (coalesced) coalesced->record_on(*recorder);
    }

    // The order of destruction: vCPUs (with abandoned accesses, which still hold slots of a bus), buses, accelerator,
    // memory.
    HostClock clock;
    HostRandom random;
    MachineConfig config;
    GuestMemory memory;
    std::unique_ptr<Accelerator> accelerator;
    asio::io_context& device_loop;
    Bus ports;
    Bus mmio;
    std::unique_ptr<stats::MachineRecorder> recorder;  ///< from the start of the run on, if statistics are wanted
    std::shared_ptr<CoalescedWrites> coalesced;
    std::mutex mutex;
    std::optional<Outcome> outcome;
    std::atomic<unsigned> running = 0;
    // Shared, because the last vCPU's thread still notifies while run() is on its way out.
    std::shared_ptr<Event> change = std::make_shared<Event>();
    std::vector<std::unique_ptr<Vcpu>> vcpus;
    std::optional<Preparation> preparation;  ///< until its result is taken and its thread has ended
    bool mapped = false;
};

Machine::Machine(MachineConfig config, std::unique_ptr<Accelerator> accelerator, asio::io_context& device_loop)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(accelerator), device_loop)) {}

Machine::Machine(MachineConfig config, AcceleratorMaker make_accelerator, asio::io_context& device_loop)
    : impl_(std::make_unique<Impl>(std::move(config), std::move(make_accelerator), device_loop)) {}

Machine::~Machine() {
    stop();
    // Nobody runs the device loop for these vCPUs any more: what they await there may never come.
    for (const auto& vcpu : impl_->vcpus) vcpu->abandon();
    impl_->join_all();
    if (impl_->coalesced) impl_->coalesced->shut();
}

GuestMemory& Machine::memory() noexcept { return impl_->memory; }
Bus& Machine::ports() noexcept { return impl_->ports; }
Bus& Machine::mmio() noexcept { return impl_->mmio; }
unsigned Machine::cpus() const noexcept { return impl_->config.cpus; }
std::uint64_t Machine::posted_writes() const noexcept { return impl_->posted_writes(); }
Registers Machine::registers(unsigned cpu) { return impl_->cpu(cpu).registers(); }
void Machine::set_registers(unsigned cpu, const Registers& registers) {
    if (!impl_->accelerator) {
        impl_->preparation->set_registers(cpu, registers);
    } else {
        impl_->cpu(cpu).set_registers(registers);
    }
}

void Machine::prepare() {
    if (!impl_->accelerator) impl_->preparation->begin();
}
awaitable<void> Machine::prepared() { return impl_->prepared(); }

Statistics Machine::statistics() const {
    return impl_->recorder ? impl_->recorder->snapshot(stats::Clock::now()) : Statistics();
}

void Machine::stop() noexcept { impl_->finish(stopped()); }

void Machine::finish(Outcome outcome) noexcept { impl_->finish(std::move(outcome)); }

awaitable<void> Machine::Impl::prepared() {
    while (!accelerator) {
        const auto seen = change->generation();
        preparation->help();
        if (preparation->done()) {
            adopt_prepared();
            break;
        }
        bool cancelled = false;
        try {
            co_await change->wait(seen);
        } catch (const std::system_error&) {
            cancelled = true;
        }
        if (cancelled) {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            finish(stopped());
        }
    }
}

/// Until no vCPU runs. A cancellation stops the machine.
awaitable<void> Machine::Impl::wait_for_vcpus() {
    bool abandoned = false;
    for (;;) {
        const auto seen = change->generation();
        if (running.load() == 0) co_return;
        const bool stopping = has_outcome();
        bool cancelled = false;
        bool changed = true;
        try {
            changed = co_await change->wait(seen, stopping && !abandoned ? config.cancellation_patience : Event::no_limit);
        } catch (const std::system_error&) {
            cancelled = true;
        }
        if (cancelled) {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            finish(stopped());
        } else if (!changed && stopping && !abandoned) {
            abandoned = true;
            config.log("a device does not react to the cancellation of an access: the access is abandoned");
            for (const auto& vcpu : vcpus) vcpu->abandon();
        }
    }
}

awaitable<Outcome> Machine::run() {
    Impl& impl = *impl_;
    co_await impl.prepared();
    if (!impl.mapped) impl.accelerator->map(impl.memory);
    impl.tell_devices();
    Background background(impl.device_loop, impl.config.log);
    for (const Bus* const bus : {&impl.ports, &impl.mmio}) {
        for (auto& device : bus->devices()) background.start(std::move(device));
    }
    impl.start_recorder();
    auto ioevents = impl.ports.ioevents();
    for (auto& ioevent : impl.mmio.ioevents()) ioevents.push_back(std::move(ioevent));
    Doorbells doorbells(*impl.accelerator, std::move(ioevents), impl.coalesced);
    doorbells.start(background);
    if (impl.coalesced) background.start("posted writes", CoalescedWrites::run(impl.coalesced));
    std::exception_ptr failure;
    for (const auto& vcpu : impl.vcpus) {
        impl.running.fetch_add(1);
        try {
            vcpu->start();
        } catch (...) {
            impl.running.fetch_sub(1);
            failure = std::current_exception();
        }
        if (failure) {
            stop();
            break;
        }
    }
    co_await impl.wait_for_vcpus();
    impl.join_all();
    impl.preparation.reset();
    // Without an outcome of the guest's own nobody may be there who takes its output.
    if (impl.coalesced) co_await impl.coalesced->finish(100ms);
    co_await doorbells.finish(100ms);
    impl.ports.close();
    impl.mmio.close();
    if (impl.recorder) impl.recorder->finish(stats::Clock::now());
    co_await background.finish();
    if (failure) std::rethrow_exception(failure);
    const std::lock_guard lock(impl.mutex);
    co_return impl.outcome.value_or(Outcome{});
}

}  // namespace asyncvm
