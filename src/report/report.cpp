#include "report/report.hpp"

#include "report/code.hpp"
#include "report/code_context.hpp"
#include "report/disassembler.hpp"
#include "report/hints.hpp"
#include "report/names.hpp"
#include "report/stuck.hpp"
#include "report/text_screen.hpp"
#include "report/wording.hpp"

#include <fmt/format.h>

#include <array>
#include <variant>

namespace asyncvm {
namespace {

std::string where(const CrashContext& crash, const CodeContext& context) {
    if (!context.reset) return fmt::format("at {:#x} (vCPU {})", context.linear, crash.cpu);
    if (!context.place_known) return fmt::format("before its first exit (vCPU {})", crash.cpu);
    return fmt::format("after the exit at {:#x} (vCPU {})", context.linear, crash.cpu);
}

/// `KVM cannot emulate the instruction at 0x10003: addps xmm0, xmm1 (0f 58 c1)`.
std::string emulation_failure(const CrashContext& crash, const CodeContext& context, const Failure& failure) {
    std::string text = fmt::format("KVM cannot emulate the instruction at {:#x}", context.linear);
    if (crash.cpu != 0) text += fmt::format(" (vCPU {})", crash.cpu);
    const auto bytes = failed_instruction(failure, context);
    if (bytes.empty()) return text + ": " + why_unreadable(context);
    const auto lines = disassemble(bytes, context.registers.rip, context.bits);
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

std::string summarize(const CrashContext& crash, const CodeContext& context) {
    const std::string place = where(crash, context);
    if (const auto* failure = std::get_if<Failure>(&crash.exit)) {
        if (failure->kind == Failure::Kind::emulation) return emulation_failure(crash, context, *failure);
        return fmt::format("{}, {}", describe_failure(*failure), place);
    }
    if (const auto* event = std::get_if<SystemEvent>(&crash.exit)) return fmt::format("{} {}", system_event(*event), place);
    if (std::holds_alternative<ShutDown>(crash.exit)) return "triple fault " + place;
    if (std::holds_alternative<Debug>(crash.exit)) return "unexpected debug exit " + place;
    if (std::holds_alternative<Halted>(crash.exit)) return "halted " + place;
    if (std::holds_alternative<Interrupted>(crash.exit)) return "running " + place;
    return "stopped " + place;
}

std::string posted_writes(const CrashContext& crash) {
    if (crash.posted == 0) return {};
    return fmt::format(
        "not among them: {} posted {}, which did not stop the guest (--posted-writes off makes each an exit)\n",
        crash.posted, crash.posted == 1 ? "write" : "writes");
}

std::string last_exits(const CrashContext& crash) {
    const ExitHistory& history = crash.history;
    // The crash itself is the newest record, and has been printed.
    const auto is_death = [](ExitHistory::Kind kind) {
        return kind != ExitHistory::Kind::port && kind != ExitHistory::Kind::mmio && kind != ExitHistory::Kind::halted;
    };
    const std::size_t deaths = history.size() != 0 && is_death(history[history.size() - 1].kind) ? 1 : 0;
    const std::size_t size = history.size() - deaths;
    if (size == 0) return "the guest had no exits before\n" + posted_writes(crash);
    std::string lines;
    std::uint64_t shown = 0;
    for (std::size_t i = 0; i < size; ++i) {
        lines += fmt::format("  {}\n", describe(history[i], crash.device_name));
        shown += history[i].times;
    }
    return fmt::format("last exits, the newest last ({} of {}):\n{}{}", shown, history.total() - deaths, lines,
                       posted_writes(crash));
}

/// Eight words of the stack, as wide as PUSH makes them.
std::string stack(const CrashContext& crash, const CodeContext& context) {
    const Registers& registers = context.registers;
    const unsigned size = context.bits == 64 ? 8 : registers.ss.default_32 ? 4 : 2;
    const std::uint64_t pointer = registers.rsp & all_ones(size);
    const std::uint64_t linear = linear_address(registers, registers.ss, pointer);
    if (crash.started_with != nullptr && registers.rsp == crash.started_with->rsp &&
        registers.ss.base == crash.started_with->ss.base) {
        return fmt::format("stack at {:#x}: empty, as at the start\n", linear);
    }
    std::array<std::byte, 64> bytes{};
    const std::size_t count = read_linear(crash.memory, registers, linear, std::span(bytes).first(8 * size));
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

std::string summarize(const CrashContext& crash) { return summarize(crash, look_at(crash)); }

std::string format_report(const CrashContext& crash) {
    const CodeContext context = look_at(crash);
    std::string text = summarize(crash, context) + '\n';
    const bool running = std::holds_alternative<Interrupted>(crash.exit);
    const auto hints = running ? hints_about_running(crash, context) : hints_about(crash, context);
    for (const std::string& hint : hints) text += fmt::format("hint: {}\n", hint);
    if (context.place_known || crash.started_with != nullptr) {
        const char* const place = !context.reset        ? ""
                                  : context.place_known ? " at the last exit, if the mode is still the first"
                                                        : " at the entry";
        text += fmt::format("code{} ({}):\n{}", place, mode_name(context.registers), format_code(crash, context));
    }
    text += last_exits(crash);
    if (const auto screen = read_text_screen(crash.memory); !screen.empty()) {
        text += fmt::format("text screen ({:#x}):\n{}", text_screen_address, screen);
    }
    if (context.reset) return text;
    text += fmt::format("registers of vCPU {}:\n{}", crash.cpu, format_registers(crash.registers));
    return text + stack(crash, context);
}

}  // namespace asyncvm
