#include "probe/codes.hpp"
#include "probe/probes.hpp"
#include "probe/trial.hpp"

#include <fmt/format.h>

#include <variant>

namespace asyncvm::probe {

namespace {

// Where things are in code::debuggee().
constexpr std::uint64_t second_instruction = code_base + 1;
constexpr std::uint64_t breakpoint_instruction = code_base + 2;
constexpr std::uint64_t behind_breakpoint = code_base + 3;
constexpr std::uint64_t written_address = 0x30000;

// DR7 (Intel SDM vol. 3, 18.2.4).
constexpr std::uint64_t dr7_enable_0 = 1u << 1;
constexpr std::uint64_t dr7_write_4_bytes_0 = (0b1101u << 16) | dr7_enable_0;

/// The first debug exit, and no other, is what the probe waits for.
Verdict expect_debug_exit(const GuestDebug& debug, std::uint64_t start, std::uint64_t rip) {
    Trial trial({.code = code::debuggee(), .mode = Mode::long64});
    Registers registers = trial.cpu().registers();
    registers.rip = start;
    trial.cpu().set_registers(registers);
    if (!trial.cpu().set_debug(debug)) return {false, "KVM refuses it"};
    bool expected = false;
    std::uint64_t at = 0;
    const auto verdict = judge(trial, [&](const Exit& exit) {
        if (const auto* const stop = std::get_if<Debug>(&exit)) {
            at = stop->rip;
            expected = at == rip;
        }
        return std::holds_alternative<Debug>(exit);
    });
    if (expected) return {true, {}};
    if (at != 0) return {false, fmt::format("stopped at {:#x} instead of {:#x}", at, rip)};
    if (verdict.works || verdict.why.empty()) return {false, "never stopped"};
    return verdict;
}

}  // namespace

Verdict probe_single_step() { return expect_debug_exit({.single_step = true}, code_base, second_instruction); }

Verdict probe_hardware_breakpoint() {
    return expect_debug_exit({.breakpoints = {second_instruction}, .dr7 = dr7_enable_0}, code_base, second_instruction);
}

Verdict probe_software_breakpoint() {
    return expect_debug_exit({.software_breakpoints = true}, code_base, breakpoint_instruction);
}

Verdict probe_watchpoint() {
    // The stop is behind the instruction that wrote: a NOP, then a MOV of 11 bytes.
    return expect_debug_exit({.breakpoints = {written_address}, .dr7 = dr7_write_4_bytes_0}, behind_breakpoint,
                             behind_breakpoint + 1 + 11);
}

}  // namespace asyncvm::probe
