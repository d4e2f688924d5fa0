#include "probe/codes.hpp"
#include "probe/probes.hpp"
#include "probe/trial.hpp"

#include <asyncvm/accelerator.hpp>
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <atomic>
#include <string>
#include <thread>
#include <variant>

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

/// Features of one register of CPUID, of which each host has at least one.
struct Mask {
    const char* name;
    const char* features;  ///< KvmOptions::cpu_features
};

constexpr Mask masks[] = {
    {"1 (ecx)", "-popcnt,-sse3"},
    {"1 (edx)", "-sse,-mmx"},
    {"7 (ebx)", "-bmi1,-bmi2"},
    {"0x80000001 (ecx)", "-abm"},
    {"0x80000001 (edx)", "-pdpe1gb,-rdtscp"},
};

/// The accelerator itself tries whether a guest sees the changes, and refuses those that the guest does not see.
bool holds(const Mask& mask) {
    try {
        static_cast<void>(make_kvm_accelerator({.cpu_features = mask.features}));
        return true;
    } catch (const Error&) {
        return false;
    }
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
    std::string ignored;
    for (const Mask& mask : masks) {
        if (holds(mask)) continue;
        ignored += fmt::format("{}{}", ignored.empty() ? "ignored in leaf " : ", ", mask.name);
    }
    return {ignored.empty(), ignored};
}

}  // namespace asyncvm::probe
