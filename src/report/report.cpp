#include "report/report.hpp"

#include "report/code.hpp"
#include "report/disassembler.hpp"
#include "report/hints.hpp"
#include "report/names.hpp"
#include "report/scene.hpp"
#include "report/state.hpp"

#include <fmt/format.h>

#include <array>
#include <variant>

namespace asyncvm {
namespace {

std::string where(const Death& death, const Scene& scene) {
    if (!scene.reset) return fmt::format("at {:#x} (vCPU {})", scene.linear, death.cpu);
    if (!scene.place_known) return fmt::format("before its first exit (vCPU {})", death.cpu);
    return fmt::format("after the exit at {:#x} (vCPU {})", scene.linear, death.cpu);
}

/// `KVM cannot emulate the instruction at 0x10003: addps xmm0, xmm1 (0f 58 c1)`.
std::string emulation_failure(const Death& death, const Scene& scene, const Failure& failure) {
    std::string text = fmt::format("KVM cannot emulate the instruction at {:#x}", scene.linear);
    if (death.cpu != 0) text += fmt::format(" (vCPU {})", death.cpu);
    const auto bytes = failed_instruction(failure, scene);
    if (bytes.empty()) return text + ": " + why_unreadable(scene);
    const auto lines = disassemble(bytes, scene.registers.rip, scene.bits);
    if (!can_disassemble() || lines.empty())
        return text + fmt::format(": {}", hex_bytes(bytes.first(std::min<std::size_t>(bytes.size(), 15))));
    return text + fmt::format(": {} ({})", lines.front().text, hex_bytes(lines.front().bytes));
}

std::string system_event(const SystemEvent& event) {
    switch (event.kind) {
        case SystemEvent::Kind::shutdown:
            return "the guest asked for a shutdown";
        case SystemEvent::Kind::reset:
            return "the guest asked for a reset";
        case SystemEvent::Kind::crash:
            return "the guest reported a crash";
        case SystemEvent::Kind::other:
            break;
    }
    return "the guest raised " + system_event_name(event.type);
}

std::string summarize(const Death& death, const Scene& scene) {
    const std::string place = where(death, scene);
    if (const auto* failure = std::get_if<Failure>(&death.exit)) {
        if (failure->kind == Failure::Kind::emulation) return emulation_failure(death, scene, *failure);
        return fmt::format("{}, {}", describe_failure(*failure), place);
    }
    if (const auto* event = std::get_if<SystemEvent>(&death.exit)) return fmt::format("{} {}", system_event(*event), place);
    if (std::holds_alternative<ShutDown>(death.exit)) return "triple fault " + place;
    if (std::holds_alternative<Debug>(death.exit)) return "unexpected debug exit " + place;
    if (std::holds_alternative<Halted>(death.exit)) return "halted " + place;
    return "stopped " + place;
}

std::string posted_writes(const Death& death) {
    if (death.posted == 0) return {};
    return fmt::format(
        "not among them: {} posted {}, which did not stop the guest (--posted-writes off makes each an exit)\n",
        death.posted, death.posted == 1 ? "write" : "writes");
}

std::string last_exits(const Death& death) {
    const ExitTrail& trail = death.trail;
    // The death itself is the newest record, and has been told.
    const auto is_death = [](ExitTrail::Kind kind) {
        return kind != ExitTrail::Kind::port && kind != ExitTrail::Kind::mmio && kind != ExitTrail::Kind::halted;
    };
    const std::size_t deaths = trail.size() != 0 && is_death(trail[trail.size() - 1].kind) ? 1 : 0;
    const std::size_t size = trail.size() - deaths;
    if (size == 0) return "the guest had no exits before\n" + posted_writes(death);
    std::string lines;
    std::uint64_t shown = 0;
    for (std::size_t i = 0; i < size; ++i) {
        lines += fmt::format("  {}\n", describe(trail[i], death.device_name));
        shown += trail[i].times;
    }
    return fmt::format("last exits, the newest last ({} of {}):\n{}{}", shown, trail.total() - deaths, lines,
                       posted_writes(death));
}

/// Eight words of the stack, as wide as PUSH makes them.
std::string stack(const Death& death, const Scene& scene) {
    const Registers& registers = scene.registers;
    const unsigned size = scene.bits == 64 ? 8 : registers.ss.default_32 ? 4 : 2;
    const std::uint64_t pointer = registers.rsp & all_ones(size);
    const std::uint64_t linear = linear_address(registers, registers.ss, pointer);
    if (death.started_with != nullptr && registers.rsp == death.started_with->rsp &&
        registers.ss.base == death.started_with->ss.base) {
        return fmt::format("stack at {:#x}: empty, as at the start\n", linear);
    }
    std::array<std::byte, 64> bytes{};
    const std::size_t count = read_linear(death.memory, registers, linear, std::span(bytes).first(8 * size));
    if (count < size) return fmt::format("stack at {:#x}: nothing can be read there\n", linear);
    std::string text = fmt::format("stack at {:#x}, the top first:\n ", linear);
    for (std::size_t at = 0; at + size <= count; at += size) {
        std::uint64_t value = 0;
        std::memcpy(&value, bytes.data() + at, size);
        text += fmt::format(" {:0{}x}", value, 2 * size);
    }
    return text + '\n';
}

}  // namespace

std::string summarize(const Death& death) { return summarize(death, look_at(death)); }

std::string format_report(const Death& death) {
    const Scene scene = look_at(death);
    std::string text = summarize(death, scene) + '\n';
    for (const std::string& hint : hints_about(death, scene)) text += fmt::format("hint: {}\n", hint);
    if (scene.place_known || death.started_with != nullptr) {
        const char* const place = !scene.reset        ? ""
                                  : scene.place_known ? " at the last exit, if the mode is still the first"
                                                      : " at the entry";
        text += fmt::format("code{} ({}):\n{}", place, mode_name(scene.registers), format_code(death, scene));
    }
    text += last_exits(death);
    if (scene.reset) return text;
    text += fmt::format("registers of vCPU {}:\n{}", death.cpu, format_registers(death.registers));
    return text + stack(death, scene);
}

}  // namespace asyncvm
