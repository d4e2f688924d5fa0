// What a vCPU's thread asks of its debugger: whether this exit is a stop.
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "gdb/debuggee.hpp"
#include "gdb/trap_flag.hpp"
#include "x86/linear.hpp"

namespace asyncvm::gdb {

namespace {

constexpr std::uint32_t breakpoint_exception = 3;
constexpr std::uint64_t dr6_single_step = 1u << 14;
constexpr int signal_ill = 4;
constexpr int signal_abort = 6;
constexpr int signal_segv = 11;

/// Nothing: whoever asks for them later hears why.
std::optional<Registers> registers_of(Cpu& cpu) {
    try {
        return cpu.registers();
    } catch (const Error&) {
        return std::nullopt;
    }
}

}  // namespace

StopAction Debuggee::stopped(unsigned cpu, const Exit& exit, Cpu& from) {
    const auto* const debug = std::get_if<Debug>(&exit);
    if (debug == nullptr) return crash(cpu, exit);
    std::optional<Stop> stop;
    GuestDebug given;
    // Here they cost no way to this thread and back.
    const auto now = registers_of(from);
    end_step(cpu, now);
    {
        const std::lock_guard lock(mutex_);
        given = armed_.debug.at(cpu);
        // What KVM says of the place is not cut to 32 bits on each processor.
        stop = judge(cpu, *debug, now ? linear_pc(*now) : debug->rip);
    }
    if (stop) {
        {
            const std::lock_guard lock(mutex_);
            at_stop_.at(cpu) = now;
            stops_.push_back(*stop);
        }
        changed_.notify();
        return StopAction::hold;
    }
    if (debug->exception == breakpoint_exception) {
        given.inject_breakpoint = true;
        static_cast<void>(from.set_debug(given));
    } else if (!given.single_step && (debug->dr6 & dr6_single_step) != 0) {
        // The guest steps through code of its own.
        given.inject_debug = dr6_single_step;
        static_cast<void>(from.set_debug(given));
    }
    return StopAction::go_on;
}

/// Where the guest goes on, the next step begins here.
void Debuggee::end_step(unsigned cpu, const std::optional<Registers>& now) {
    if (!trap_flag_) return;
    const std::lock_guard lock(mutex_);
    const auto began = std::exchange(armed_.from.at(cpu), now);
    if (armed_.debug.at(cpu).single_step && began && now) hide_trap_flag(machine_.memory(), *began, *now);
}

/// Nothing: the guest goes on.
std::optional<Stop> Debuggee::judge(unsigned cpu, const Debug& debug, std::uint64_t place) {
    using Means = Breakpoints::Means;
    if (!armed_.attached) return std::nullopt;
    const auto at_breakpoint = [&](const Breakpoints::Point& point) {
        const bool soft = point.type == Breakpoints::Type::software;
        return Stop{.why = soft ? Stop::Why::breakpoint : Stop::Why::hardware_breakpoint, .cpu = cpu};
    };
    if (debug.exception == breakpoint_exception) {
        const auto* const point = armed_.points.at(place, Means::int3);
        return point != nullptr ? std::optional(at_breakpoint(*point)) : std::nullopt;
    }
    for (unsigned slot = 0; slot < 4; ++slot) {
        const auto* const point = armed_.points.in_slot(slot);
        if (point == nullptr || (debug.dr6 >> slot & 1) == 0) continue;
        if (!Breakpoints::of_data(point->type)) return at_breakpoint(*point);
        return Stop{.why = Stop::Why::watchpoint, .cpu = cpu, .address = point->address, .watch = point->type};
    }
    if (const auto watched = judge_watched(cpu)) return watched;
    if (armed_.steps.at(cpu)) return Stop{.why = Stop::Why::step, .cpu = cpu};
    const auto* point = armed_.points.at(place, Means::steps);
    // Not every host says in DR6 which register it was.
    if (point == nullptr) point = armed_.points.at(place, Means::debug_register);
    return point != nullptr ? std::optional(at_breakpoint(*point)) : std::nullopt;
}

/// Whether one of the watched places has changed.
std::optional<Stop> Debuggee::judge_watched(unsigned cpu) {
    for (std::size_t i = 0; i < armed_.watched.size(); ++i) {
        auto& before = armed_.watched[i];
        if (before.empty()) continue;
        std::vector<std::byte> now(before.size());
        const auto& point = armed_.points.all()[i];
        static_cast<void>(machine_.memory().read(point.physical, now));
        if (now == before) continue;
        before = std::move(now);
        return Stop{.why = Stop::Why::watchpoint, .cpu = cpu, .address = point.address, .watch = point.type};
    }
    return std::nullopt;
}

void Debuggee::remember_watched() {
    const std::lock_guard lock(mutex_);
    armed_.watched.assign(armed_.points.all().size(), {});
    for (std::size_t i = 0; i < armed_.watched.size(); ++i) {
        const auto& point = armed_.points.all()[i];
        if (point.means != Breakpoints::Means::steps || !Breakpoints::of_data(point.type)) continue;
        armed_.watched[i].resize(point.length);
        static_cast<void>(machine_.memory().read(point.physical, armed_.watched[i]));
    }
}

StopAction Debuggee::crash(unsigned cpu, const Exit& exit) {
    Stop stop{.why = Stop::Why::crash, .cpu = cpu, .signal = signal_ill};
    const char* what = "it can't go on";
    if (std::holds_alternative<ShutDown>(exit)) {
        stop.signal = signal_segv;
        what = "triple fault";
    } else if (const auto* const event = std::get_if<SystemEvent>(&exit)) {
        if (event->kind != SystemEvent::Kind::crash) return StopAction::end;
        stop.signal = signal_abort;
        what = "the guest reports its crash";
    }
    bool stays = on_crash_ == CrashPolicy::wait;
    {
        const std::lock_guard lock(mutex_);
        if (on_crash_ == CrashPolicy::if_attached) stays = armed_.attached;
        if (!stays) return StopAction::end;
        stops_.push_back(stop);
        crashed_.at(cpu) = true;
    }
    log_(fmt::format("vCPU {}: {}; the machine stays for gdb", cpu, what));
    changed_.notify();
    return StopAction::hold;
}

}  // namespace asyncvm::gdb
