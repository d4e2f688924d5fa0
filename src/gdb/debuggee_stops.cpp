// What a vCPU's thread asks of its debugger: whether this exit is a stop.
#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "gdb/debuggee.hpp"
#include "gdb/guest_context.hpp"
#include "gdb/trap_flag.hpp"
#include "x86/linear.hpp"
#include "x86/page_walk.hpp"

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
    // Here they cost no way to this thread and back.
    const auto now = registers_of(from);
    end_step(cpu, now);
    Verdict verdict;
    GuestDebug given;
    GuestDebug had;
    {
        const std::lock_guard lock(mutex_);
        ArmedCpu& armed = armed_.cpus.at(cpu);
        const auto over = end_over(armed);
        // What KVM says of the place is not cut to 32 bits on each processor.
        const std::uint64_t place = now ? linear_pc(*now) : debug->rip;
        // Under the breakpoint there was one of the guest's.
        const bool under = debug->exception == breakpoint_exception && over && armed.over_from == place;
        verdict = under ? Verdict{.own = true} : judge(cpu, *debug, place, now);
        if (verdict.stop) pass_silently(armed, place, verdict);
        armed.told.reset();
        if (verdict.stop) {
            print_once(armed, verdict.came, place, now);
            at_stop_.at(cpu) = now;
            stops_.push_back(*verdict.stop);
        } else {
            if (verdict.over) begin_over(armed, *verdict.over);
            armed.over_from = place;
            given = verdict.over ? armed_.points.debug_over(*verdict.over) : armed.wanted;
            had = std::exchange(armed.given, given);
            given.inject_breakpoint = verdict.own;
            // The guest steps through code of its own.
            if (!verdict.own && !had.single_step) given.inject_debug = debug->dr6 & dr6_single_step;
        }
    }
    if (verdict.stop) {
        changed_.notify();
        return StopAction::hold;
    }
    if (given != had) static_cast<void>(from.set_debug(given));
    return StopAction::go_on;
}

/// gdb was told of this breakpoint, and lets the guest go on as if nothing were there: so it does with a dprintf for which
/// it has no bytecode, for ever.
void Debuggee::pass_silently(const ArmedCpu& cpu, std::uint64_t place, Verdict& verdict) {
    if (!verdict.came || cpu.told != place) return;
    if (said_lost_ != place &&
        printed_.add(fmt::format(
            "<dprintf at {:#x}: gdb has no bytecode for it and leaves it out: set dprintf-style gdb prints it>\n", place)))
        changed_.notify();
    said_lost_ = place;
    verdict = {.over = place};
}

/// A vCPU stands in front of an instruction. gdb goes over its breakpoints without them, and another debugger may not: what
/// commands print there they print now, unless they are `done`, and then no more.
void Debuggee::print_once(ArmedCpu& cpu, bool done, std::uint64_t place, const std::optional<Registers>& now) {
    if (cpu.over || !now || !armed_.file || !armed_.points.prints_at(place)) return;
    if (!done) static_cast<void>(come_to(place, *now));
    cpu.over = place;
    cpu.over_from = place;
}

/// What the commands print is on its way. Whether it stops.
bool Debuggee::come_to(std::uint64_t address, const Registers& now) {
    GuestContext context(machine_.memory(), *armed_.file, now, armed_.physical);
    std::string printed;
    const bool stops = armed_.points.come_to(address, context, printed);
    if (printed_.add(printed)) changed_.notify();
    return stops;
}

/// It does not stop there: this vCPU executes the instruction as if there were no breakpoints.
void Debuggee::begin_over(ArmedCpu& cpu, std::uint64_t address) {
    cpu.over = address;
    for (const auto& point : armed_.points.all()) {
        if (point.means == Breakpoints::Means::int3 && point.address == address) machine_.memory().unpatch(point.physical);
    }
}

/// Where it has gone over one, if it has.
std::optional<std::uint64_t> Debuggee::end_over(ArmedCpu& cpu) {
    const auto over = std::exchange(cpu.over, std::nullopt);
    if (!over) return over;
    for (const auto& point : armed_.points.all()) {
        // Two breakpoints may have the same byte.
        if (point.means == Breakpoints::Means::int3 && point.address == *over)
            static_cast<void>(machine_.memory().patch(point.physical, Breakpoints::int3));
    }
    return over;
}

/// Where the guest goes on, the next step begins here.
void Debuggee::end_step(unsigned cpu, const std::optional<Registers>& now) {
    if (!trap_flag_) return;
    const std::lock_guard lock(mutex_);
    const auto began = std::exchange(armed_.cpus.at(cpu).from, now);
    if (armed_.cpus.at(cpu).given.single_step && began && now) hide_trap_flag(machine_.memory(), *began, *now);
}

/// `place`: in front of which instruction it stands.
Debuggee::Verdict Debuggee::judge(unsigned cpu, const Debug& debug, std::uint64_t place,
                                  const std::optional<Registers>& now) {
    using Means = Breakpoints::Means;
    const bool at_int3 = debug.exception == breakpoint_exception;
    // Without a debugger there are only those that persist, at which nothing stops.
    if (!armed_.attached && armed_.points.all().empty()) return {.own = at_int3};
    if (at_int3) return judge_int3(cpu, place, now);
    const Breakpoints::Point* here = nullptr;
    for (unsigned slot = 0; slot < 4 && here == nullptr; ++slot) {
        const auto* const point = armed_.points.in_slot(slot);
        if (point != nullptr && (debug.dr6 >> slot & 1) != 0) here = point;
    }
    if (here != nullptr && Breakpoints::of_data(here->type)) {
        const Stop stop{.why = Stop::Why::watchpoint, .cpu = cpu, .address = here->address, .watch = here->type};
        return {.stop = stop};
    }
    // A breakpoint in the way of a step stops in front of its instruction, before that is executed.
    const bool stepped = here == nullptr || (debug.dr6 & dr6_single_step) != 0;
    Verdict verdict;
    if (here != nullptr) verdict = judge_breakpoint(cpu, *here, now);
    if (verdict.stop) return verdict;
    if (const auto watched = judge_watched(cpu)) return {.stop = watched, .came = verdict.came};
    const auto& step = armed_.cpus.at(cpu).step;
    const bool within = step && place >= step->from && place < step->until;
    const Stop end_of_step{.why = Stop::Why::step, .cpu = cpu};
    if (step && stepped && step->until == 0) return {.stop = end_of_step, .came = verdict.came};
    if (here == nullptr) {
        here = armed_.points.at(place, Means::steps);
        // Not every host says in DR6 which register it was.
        if (here == nullptr) here = armed_.points.at(place, Means::debug_register);
        if (here != nullptr) verdict = judge_breakpoint(cpu, *here, now);
    }
    if (!verdict.stop && step && stepped && !within) verdict.stop = end_of_step;
    return verdict;
}

Debuggee::Verdict Debuggee::judge_int3(unsigned cpu, std::uint64_t place, const std::optional<Registers>& now) {
    using Means = Breakpoints::Means;
    if (const auto* const point = armed_.points.at(place, Means::int3)) return judge_breakpoint(cpu, *point, now);
    // A kernel may run its code at two addresses, as when it has just begun. The breakpoint is at one of them.
    const PageWalk page = now ? translate(machine_.memory(), *now, place) : PageWalk{};
    const auto& all = armed_.points.all();
    const auto other = std::ranges::find_if(all, [&](const Breakpoints::Point& point) {
        return point.means == Means::int3 && page.status == PageWalk::Status::mapped && point.physical == page.physical;
    });
    if (other == all.end()) return {.own = true};
    if (armed_.alone) return {.over = other->address};
    return {.stop = Stop{.why = Stop::Why::step, .cpu = cpu}};
}

/// The vCPU is in front of its instruction.
Debuggee::Verdict Debuggee::judge_breakpoint(unsigned cpu, const Breakpoints::Point& point,
                                             const std::optional<Registers>& now) {
    const bool stops = !now || !armed_.file || come_to(point.address, *now);
    // Where other vCPUs would run past it the INT3 stays: gdb finds out that no condition holds.
    const bool can_pass = point.means != Breakpoints::Means::int3 || armed_.alone;
    if (!stops && can_pass) return {.over = point.address, .came = true};
    const bool soft = point.type == Breakpoints::Type::software;
    const auto why = soft ? Stop::Why::breakpoint : Stop::Why::hardware_breakpoint;
    return {.stop = Stop{.why = why, .cpu = cpu, .address = point.address}, .came = true};
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
