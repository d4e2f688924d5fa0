#include <asyncvm/machine.hpp>

#include <utility>

#include "machine/core.hpp"

namespace asyncvm {

Pause& Pause::operator=(Pause&& other) noexcept {
    release();
    core_ = std::move(other.core_);
    return *this;
}

void Pause::release() noexcept {
    if (const auto core = std::exchange(core_, nullptr)) core->release_pause();
}

Machine::Machine(MachineConfig config, std::unique_ptr<Accelerator> accelerator, asio::io_context& device_loop)
    : core_(std::make_shared<MachineCore>(std::move(config), std::move(accelerator), device_loop)) {}

Machine::Machine(MachineConfig config, AcceleratorMaker make_accelerator, asio::io_context& device_loop)
    : core_(std::make_shared<MachineCore>(std::move(config), std::move(make_accelerator), device_loop)) {}

Machine::~Machine() { core_->let_go(); }

GuestMemory& Machine::memory() noexcept { return core_->memory(); }
Bus& Machine::ports() noexcept { return core_->ports(); }
Bus& Machine::mmio() noexcept { return core_->mmio(); }
unsigned Machine::cpus() const noexcept { return core_->config().cpus; }

void Machine::prepare() { core_->prepare(); }
awaitable<void> Machine::prepared() { return MachineCore::prepared(core_); }

Registers Machine::registers(unsigned cpu) { return core_->cpu(cpu).registers(); }
void Machine::set_registers(unsigned cpu, const Registers& registers) { core_->set_registers(cpu, registers); }
IrqLine Machine::irq(unsigned gsi) { return core_->irq(gsi); }

awaitable<Outcome> Machine::run() { return MachineCore::run(core_); }
awaitable<Pause> Machine::pause() { return MachineCore::pause(core_); }
awaitable<void> Machine::reset() { return MachineCore::reset(core_); }
awaitable<void> Machine::call(unsigned cpu, std::function<void(Cpu&)> work) {
    return MachineCore::call(core_, cpu, std::move(work));
}

awaitable<std::string> Machine::report(unsigned cpu) { return MachineCore::report(core_, cpu); }

std::uint64_t Machine::posted_writes() const noexcept { return core_->posted_writes(); }
Statistics Machine::statistics() const { return core_->statistics(); }

void Machine::hold(unsigned cpu) { core_->vcpu(cpu).hold(); }
void Machine::release(unsigned cpu) { core_->vcpu(cpu).release(); }

bool Machine::enter_here(unsigned cpu, std::chrono::nanoseconds limit) { return core_->vcpu(cpu).enter_here(limit); }

void Machine::expect_reset() noexcept { core_->expect_reset(); }

void Machine::stop() noexcept { core_->stop(); }
void Machine::finish(Outcome outcome) noexcept { core_->finish(std::move(outcome)); }

}  // namespace asyncvm
