// Registers of vCPUs that stand: read when they are asked for, and kept until the machine goes on.
#include <memory>
#include <utility>
#include <vector>

#include "gdb/debuggee.hpp"
#include "gdb/register_table.hpp"

namespace asyncvm::gdb {

awaitable<Registers> Debuggee::registers(unsigned cpu) {
    CachedRegisters& cached = registers_.at(cpu);
    if (!cached.known) {
        const auto read = std::make_shared<Registers>();
        std::function<void(Cpu&)> work = [read](Cpu& from) { *read = from.registers(); };
        co_await call(cpu, std::move(work));
        cached.values.core = *read;
        cached.known = true;
    }
    co_return cached.values.core;
}

void Debuggee::set_registers(unsigned cpu, const Registers& registers) {
    CachedRegisters& cached = registers_.at(cpu);
    cached.values.core = registers;
    cached.known = cached.changed = true;
}

awaitable<RegisterValues> Debuggee::values(unsigned cpu, Source source) {
    static_cast<void>(co_await registers(cpu));
    CachedRegisters& cached = registers_.at(cpu);
    if (source == Source::fpu && !cached.fpu_known) {
        const auto read = std::make_shared<std::optional<FpuRegisters>>();
        std::function<void(Cpu&)> work = [read](Cpu& from) { *read = from.fpu_registers(); };
        co_await call(cpu, std::move(work));
        cached.values.fpu = *read;
        cached.fpu_known = true;
    }
    if (source == Source::msrs && !cached.msrs_known) {
        const auto read = std::make_shared<std::map<std::uint32_t, std::uint64_t>>();
        std::function<void(Cpu&)> work = [read](Cpu& from) {
            std::vector<std::uint32_t> indices;
            for (const NamedMsr& one : named_msrs()) indices.push_back(one.index);
            const auto found = from.read_msrs(indices);
            for (std::size_t i = 0; i < indices.size(); ++i) {
                if (found[i]) read->emplace(indices[i], *found[i]);
            }
        };
        co_await call(cpu, std::move(work));
        cached.values.msrs = std::move(*read);
        cached.msrs_known = true;
    }
    co_return cached.values;
}

awaitable<bool> Debuggee::set_fpu(unsigned cpu, FpuRegisters registers) {
    const auto taken = std::make_shared<bool>(false);
    std::function<void(Cpu&)> work = [taken, registers](Cpu& to) { *taken = to.set_fpu_registers(registers); };
    co_await call(cpu, std::move(work));
    registers_.at(cpu).fpu_known = false;
    co_return *taken;
}

awaitable<bool> Debuggee::set_msr(unsigned cpu, std::uint32_t index, std::uint64_t value) {
    const auto taken = std::make_shared<bool>(false);
    std::function<void(Cpu&)> work = [taken, index, value](Cpu& to) { *taken = to.write_msr(index, value); };
    co_await call(cpu, std::move(work));
    registers_.at(cpu).msrs_known = false;
    co_return *taken;
}

awaitable<std::optional<InterruptState>> Debuggee::interrupts(unsigned cpu) {
    const auto read = std::make_shared<std::optional<InterruptState>>();
    std::function<void(Cpu&)> work = [read](Cpu& from) { *read = from.interrupt_state(); };
    co_await call(cpu, std::move(work));
    co_return *read;
}

awaitable<std::optional<std::uint64_t>> Debuggee::msr(unsigned cpu, std::uint32_t index) {
    const auto read = std::make_shared<std::optional<std::uint64_t>>();
    std::function<void(Cpu&)> work = [read, index](Cpu& from) { *read = from.read_msrs(std::span(&index, 1)).at(0); };
    co_await call(cpu, std::move(work));
    co_return *read;
}

}  // namespace asyncvm::gdb
