#include "probe/trial.hpp"

#include <fmt/format.h>

#include <span>
#include <variant>

#include "boot/initial_state.hpp"
#include "probe/codes.hpp"
#include "report/disassembler.hpp"

namespace asyncvm::probe {

namespace {

/// KVM gives all the bytes that it has fetched, also those behind the instruction.
std::string describe_emulation(const Failure& failure, unsigned bits) {
    const auto bytes = std::as_bytes(std::span(failure.instruction)).first(failure.instruction_size);
    const auto instructions = disassemble(bytes, code_base, bits);
    if (instructions.empty()) return "KVM can't emulate an instruction";
    std::string text = instructions[0].text;
    for (const auto byte : text.empty() ? instructions[0].bytes : std::span<const std::byte>()) {
        text += fmt::format("{}{:02x}", text.empty() ? "" : " ", std::to_integer<unsigned>(byte));
    }
    return fmt::format("KVM can't emulate {}", text);
}

/// Guests that start a second vCPU in real mode find its code there.
constexpr std::uint64_t ap_base = 0x8000;

}  // namespace

Trial::Trial(const Plan& plan)
    : mode_(plan.mode), memory_(ram_size), accelerator_(make_kvm_accelerator({.irqchip = plan.irqchip})) {
    const Registers start = initial_registers(memory_, plan.mode, code_base);
    memory_.write(code_base, plan.code);
    memory_.write(ap_base, code::ap());
    accelerator_->map(memory_);
    for (unsigned index = 0; index < plan.cpus; ++index) {
        cpus_.push_back(accelerator_->create_cpu(index));
        // With an interrupt controller all vCPUs but the first wait to be started by the guest.
        if (index > 0 && plan.irqchip) continue;
        Registers registers = start;
        registers.rbx = index;
        cpus_.back()->set_registers(registers);
    }
}

unsigned Trial::bits() const noexcept { return mode_ == Mode::real16 ? 16 : mode_ == Mode::protected32 ? 32 : 64; }

Exit next_exit(Cpu& cpu, const Watchdog& watchdog) {
    for (;;) {
        Exit exit = cpu.run();
        if (!std::holds_alternative<Interrupted>(exit) || watchdog.expired()) return exit;
    }
}

std::string describe(const Exit& exit, const Watchdog& watchdog, unsigned bits) {
    if (std::holds_alternative<ShutDown>(exit)) return "shut down at once (triple fault)";
    if (std::holds_alternative<Halted>(exit)) return "halted without the expected result";
    if (std::holds_alternative<Interrupted>(exit)) {
        return watchdog.was_busy() ? fmt::format("no exit within {} ms: it loops", Watchdog::patience.count())
                                   : "waits for ever";
    }
    if (const auto* debug = std::get_if<Debug>(&exit)) return fmt::format("unexpected debug exit at {:#x}", debug->rip);
    if (const auto* failure = std::get_if<Failure>(&exit)) {
        if (failure->kind == Failure::Kind::emulation) return describe_emulation(*failure, bits);
        return fmt::format("KVM failed (kind {}, code {})", static_cast<int>(failure->kind), failure->code);
    }
    return "unexpected exit";
}

Verdict judge(Trial& trial, const std::function<bool(const Exit&)>& on_exit) {
    constexpr int most_exits = 1000;
    const Watchdog watchdog(trial.cpu());
    for (int exits = 0; exits < most_exits; ++exits) {
        const Exit exit = next_exit(trial.cpu(), watchdog);
        const auto* const port = std::get_if<PortAccess>(&exit);
        if (port != nullptr && port->address == verdict_port && port->direction == Direction::write) {
            const bool right = std::to_integer<int>(port->data[0]) == 1;
            trial.cpu().complete_exit();
            return {right, right ? "" : "the guest saw a wrong result"};
        }
        if (on_exit && on_exit(exit)) return {true, {}};
        if (port == nullptr && !std::holds_alternative<MmioAccess>(exit))
            return {false, describe(exit, watchdog, trial.bits())};
    }
    return {false, "too many exits"};
}

}  // namespace asyncvm::probe
