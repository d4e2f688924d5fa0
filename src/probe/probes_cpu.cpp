#include "probe/codes.hpp"
#include "probe/probes.hpp"
#include "probe/trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <variant>
#include <vector>

namespace asyncvm::probe {

namespace {

constexpr std::uint64_t first_port = 0x50;

/// The second vCPU runs on a thread of its own until the first has told its verdict.
Verdict judge_with_second(Trial& trial) {
    std::atomic<bool> ended = false;
    std::thread second([&trial, &ended] {
        const Watchdog watchdog(trial.cpu(1));
        while (!ended && !watchdog.expired()) {
            const Exit exit = trial.cpu(1).run();
            if (!std::holds_alternative<Interrupted>(exit)) break;
        }
    });
    auto verdict = judge(trial);
    ended = true;
    trial.cpu(1).kick();
    second.join();
    return verdict;
}

std::uint32_t word(std::span<const std::byte> data) {
    std::uint32_t value = 0;
    std::memcpy(&value, data.data(), std::min(data.size(), sizeof value));
    return value;
}

/// Bits of CPUID that a guest in long mode can do without.
struct Mask {
    const char* name;
    const char* features;  ///< KvmOptions::cpu_features
    std::uint32_t leaf;
    std::uint32_t bits;
    std::uint64_t port;  ///< where code::cpuid() writes that register
};

constexpr Mask masks[] = {
    {"1 (ecx)", "-popcnt,-sse3", 1, 1u << 23 | 1u << 0, first_port},
    {"1 (edx)", "-sse,-mmx", 1, 1u << 25 | 1u << 23, first_port + 4},
    {"7 (ebx)", "-bmi1,-bmi2", 7, 1u << 3 | 1u << 8, first_port + 8},
    {"0x80000001 (ecx)", "-abm", 0x80000001, 1u << 5, first_port},
    {"0x80000001 (edx)", "-pdpe1gb,-rdtscp", 0x80000001, 1u << 26 | 1u << 27, first_port + 4},
};

std::string all_masks() {
    std::string all;
    for (const Mask& mask : masks) all += fmt::format("{}{}", all.empty() ? "" : ",", mask.features);
    return all;
}

/// What a guest reads from the registers of all masks, in their order.
std::vector<std::uint32_t> guest_cpuid(const std::string& features) {
    Trial trial({.code = code::cpuid(), .mode = Mode::long64, .cpu_features = features});
    const Registers start = trial.cpu().registers();
    std::vector<std::uint32_t> values;
    for (const Mask& mask : masks) {
        Registers registers = start;
        registers.rbx = mask.leaf;
        trial.cpu().set_registers(registers);
        std::uint32_t value = 0;
        const auto verdict = judge(trial, [&](const Exit& exit) {
            if (const auto* port = std::get_if<PortAccess>(&exit); port != nullptr && port->address == mask.port) {
                value = word(port->data);
            }
            return false;
        });
        values.push_back(verdict.works ? value : 0);
    }
    return values;
}

}  // namespace

Verdict probe_two_cpus() {
    Trial trial({.code = code::two_cpus(), .mode = Mode::real16, .cpus = 2});
    return judge_with_second(trial);
}

Verdict probe_ap_startup() {
    Trial trial({.code = code::ap_startup(), .mode = Mode::protected32, .cpus = 2, .irqchip = true});
    return judge_with_second(trial);
}

Verdict probe_irq_wake() {
    Trial trial({.code = code::irq_wake(), .mode = Mode::real16, .irqchip = true});
    return judge(trial, [&trial](const Exit& exit) {
        if (const auto* port = std::get_if<PortAccess>(&exit); port != nullptr && port->address == first_port) {
            trial.accelerator().irqchip()->set(4, true);
        }
        return false;
    });
}

Verdict probe_kick() {
    Trial trial({.code = code::spin(), .mode = Mode::long64});
    const Watchdog watchdog(trial.cpu());
    const Exit exit = next_exit(trial.cpu(), watchdog);
    if (std::holds_alternative<Interrupted>(exit)) return {true, {}};
    return {false, describe(exit, watchdog, trial.bits())};
}

Verdict probe_immediate_exit() {
    Trial trial({.code = code::real_mode(), .mode = Mode::real16});
    trial.cpu().kick();
    if (!std::holds_alternative<Interrupted>(trial.cpu().run()))
        return {false, "the guest ran although it was kicked before"};
    return judge(trial);
}

Verdict probe_sync_regs() {
    Trial trial({.code = code::real_mode(), .mode = Mode::real16});
    const auto verdict = judge(trial);
    if (!verdict.works) return verdict;
    if (trial.cpu().exit_rip() == 0) return {false, "KVM does not offer it, or the registers stay zero"};
    return verdict;
}

Verdict probe_cpuid_masks() {
    const auto there = guest_cpuid({});
    const auto left = guest_cpuid(all_masks());
    std::string ignored;
    for (std::size_t i = 0; i < std::size(masks); ++i) {
        if ((there[i] & left[i] & masks[i].bits) == 0) continue;
        ignored += fmt::format("{}{}", ignored.empty() ? "ignored in leaf " : ", ", masks[i].name);
    }
    return {ignored.empty(), ignored};
}

}  // namespace asyncvm::probe
