#include "gdb/debuggee.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "x86/page_walk.hpp"

namespace asyncvm::gdb {

namespace {

// A step that takes longer sleeps, or runs an interrupt's handler.
constexpr std::chrono::milliseconds longest_step_here{5};
constexpr unsigned most_steps_here = 16;

/// The first action for a thread; null: none.
const ThreadAction* action_for(const std::vector<ThreadAction>& actions, int thread) {
    const auto found = std::ranges::find_if(actions, [thread](const ThreadAction& action) {
        return action.thread == thread || action.thread == ThreadAction::all;
    });
    return found == actions.end() ? nullptr : &*found;
}

}  // namespace

Debuggee::Debuggee(Machine& machine, CrashPolicy on_crash, Log log, DebuggerWatch watch)
    : machine_(machine),
      on_crash_(on_crash),
      log_(std::move(log)),
      watch_(std::move(watch)),
      registers_(machine.cpus()),
      points_({}, machine.cpus() > 1),
      at_stop_(machine.cpus()),
      crashed_(machine.cpus()) {
    armed_.cpus.resize(machine.cpus());
}

std::optional<Stop> Debuggee::stop() const {
    const std::lock_guard lock(mutex_);
    return stops_.empty() ? std::nullopt : std::optional(stops_.front());
}

bool Debuggee::crashed() const {
    const std::lock_guard lock(mutex_);
    return std::ranges::find(crashed_, true) != crashed_.end();
}

/// On the vCPU's thread, for one call. A coroutine that waits for it may be given up.
awaitable<void> Debuggee::call(unsigned cpu, std::function<void(Cpu&)> work) {
    co_await machine_.call(cpu, std::move(work));
}

awaitable<void> Debuggee::hold_start() {
    Pause pause = co_await machine_.pause();
    pause_.emplace(std::move(pause));
    has_stopped();
}

void Debuggee::has_stopped() {
    if (watch_.stopped) watch_.stopped(stop());
    changed_.notify();
}

void Debuggee::attach(bool attached) {
    if (attached) {
        points_.clear();
        physical_ = false;
    }
    const std::lock_guard lock(mutex_);
    armed_.attached = attached;
}

awaitable<void> Debuggee::halt() {
    if (halted()) co_return;
    Pause pause = co_await machine_.pause();
    pause_.emplace(std::move(pause));
    take_int3s();
    adopt_registers();
    co_await print_where_they_stand();
    has_stopped();
}

/// Of the vCPUs that have not come to their breakpoints because the machine was stopped.
awaitable<void> Debuggee::print_where_they_stand() {
    const auto& points = armed_.points.all();
    if (std::ranges::all_of(points, [](const auto& point) { return point.commands.list.empty(); })) co_return;
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) {
        const bool stopped = registers_[cpu].known;
        const bool ran = armed_.cpus[cpu].runs;
        if (stopped || !ran) continue;
        const Registers now = co_await registers(cpu);
        const std::lock_guard lock(mutex_);
        print_once(armed_.cpus[cpu], false, linear_pc(now), now);
    }
}

/// Of the vCPUs that have stopped; the others' are not known.
void Debuggee::adopt_registers() {
    for (auto& cached : registers_) cached = {};
    const std::lock_guard lock(mutex_);
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) {
        if (!at_stop_[cpu]) continue;
        registers_[cpu].values.core = *at_stop_[cpu];
        registers_[cpu].known = true;
    }
}

/// One vCPU makes a step, in the pause and on this thread: the two threads wake each other for more time than it takes.
/// True: it has stopped. The devices' own work gets on between some steps, and whenever the guest accesses one.
bool Debuggee::step_here(unsigned cpu) {
    if (++steps_here_ % most_steps_here == 0) return false;
    if (!machine_.enter_here(cpu, longest_step_here)) return false;
    take_int3s();
    adopt_registers();
    return true;
}

awaitable<std::size_t> Debuggee::read(unsigned cpu, std::uint64_t address, std::span<std::byte> to) {
    if (physical_) co_return machine_.memory().read(address, to);
    const Registers now = co_await registers(cpu);
    co_return read_linear(machine_.memory(), now, address, to);
}

awaitable<std::size_t> Debuggee::write(unsigned cpu, std::uint64_t address, std::span<const std::byte> from) {
    if (physical_) co_return machine_.memory().write(address, from);
    const Registers now = co_await registers(cpu);
    co_return write_linear(machine_.memory(), now, address, from);
}

awaitable<bool> Debuggee::insert(unsigned cpu, Breakpoints::Type type, std::uint64_t address, std::uint64_t length,
                                 Breakpoints::Conditions conditions, Breakpoints::Commands commands) {
    const Registers now = co_await registers(cpu);
    const PageWalk page = translate(machine_.memory(), now, address);
    std::optional<std::uint64_t> physical;
    if (page.status == PageWalk::Status::mapped && !machine_.memory().try_at(page.physical, 1).empty())
        physical = page.physical;
    touched_ = true;
    const auto means = points_.add(type, address, length, physical, std::move(conditions), std::move(commands));
    if (!means) co_return false;
    say_fallback(type, *means);
    co_return true;
}

void Debuggee::remove(Breakpoints::Type type, std::uint64_t address, std::uint64_t length) {
    touched_ = true;
    points_.remove(type, address, length);
}

void Debuggee::say_fallback(Breakpoints::Type type, Breakpoints::Means means) {
    if (means == Breakpoints::Means::int3) return;
    if (means == Breakpoints::Means::debug_register) {
        if (type == Breakpoints::Type::software && !std::exchange(said_[0], true))
            log_(
                "gdb: a software breakpoint has become a hardware breakpoint, of which there are four: INT3 does not stop a "
                "guest on this host, or the address is not mapped");
    } else if (!std::exchange(said_[1], true)) {
        log_("gdb: the guest goes step by step, which is slow: there is no other means for a breakpoint or watchpoint");
    }
}

/// Only while the guest runs: so gdb does not see them, whatever becomes of its breakpoints.
void Debuggee::put_int3s() {
    for (const auto& point : points_.all()) {
        // Two breakpoints may have the same byte.
        if (point.means == Breakpoints::Means::int3 && machine_.memory().patch(point.physical, Breakpoints::int3))
            int3s_.push_back(point.physical);
    }
}

void Debuggee::take_int3s() {
    for (; !int3s_.empty(); int3s_.pop_back()) machine_.memory().unpatch(int3s_.back());
}

/// Of vCPUs that came to a breakpoint when gdb was told of another. Whether one of them is to go on, which then is gdb's
/// next stop.
bool Debuggee::keep_other_stops(const std::vector<ThreadAction>& actions) {
    const std::lock_guard lock(mutex_);
    if (!stops_.empty()) untold_.insert(untold_.end(), stops_.begin() + 1, stops_.end());
    stops_.clear();
    std::erase_if(untold_, [&](const Stop& stop) {
        if (stop.why == Stop::Why::step || stop.why == Stop::Why::crash || registers_[stop.cpu].changed) return true;
        if (action_for(actions, static_cast<int>(stop.cpu) + 1) == nullptr) return false;
        // An INT3 stops it again; what gdb has removed does not.
        const bool there = std::ranges::any_of(points_.all(), [&](const Breakpoints::Point& point) {
            const bool data = stop.why == Stop::Why::watchpoint;
            return point.address == stop.address && point.means != Breakpoints::Means::int3 &&
                   Breakpoints::of_data(point.type) == data;
        });
        if (there) stops_.push_back(stop);
        return true;
    });
    return !stops_.empty();
}

/// The machine stood while this vCPU went over breakpoints, and it may not have moved: it would come to them again. `alone`:
/// no other one needs an INT3 there.
void Debuggee::keep_over(unsigned cpu, bool alone, ArmedCpu& next) const {
    const ArmedCpu& before = armed_.cpus[cpu];
    const CachedRegisters& cached = registers_[cpu];
    if (!before.over || (cached.changed && linear_pc(cached.values.core) != before.over_from)) return;
    if (!alone && points_.at(*before.over, Breakpoints::Means::int3) != nullptr) return;
    next.over = before.over;
    next.over_from = before.over_from;
}

awaitable<void> Debuggee::go_on(std::vector<ThreadAction> actions) {
    if (!halted()) co_return;
    const auto told = std::exchange(touched_, false) ? std::nullopt : stop();
    if (keep_other_stops(actions)) {
        changed_.notify();
        co_return;
    }
    const GuestDebug common = points_.debug();
    std::vector<ArmedCpu> armed(cpus());
    std::vector<unsigned> running;
    bool all_the_same = true;
    bool one_step = false;
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) {
        armed[cpu].wanted = common;
        const ThreadAction* const action = action_for(actions, static_cast<int>(cpu) + 1);
        if (action == nullptr) {
            machine_.hold(cpu);
            continue;
        }
        running.push_back(cpu);
        armed[cpu].runs = true;
        one_step = action->step && action->until == 0;
        if (action->step) armed[cpu].step = *action;
        armed[cpu].wanted.single_step = common.single_step || action->step;
        const bool at_breakpoint =
            told && told->cpu == cpu && (told->why == Stop::Why::breakpoint || told->why == Stop::Why::hardware_breakpoint);
        if (at_breakpoint && !action->step && !registers_[cpu].changed) armed[cpu].told = told->address;
    }
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) {
        bool same = false;
        {
            const std::lock_guard lock(mutex_);
            keep_over(cpu, running.size() == 1 || action_for(actions, static_cast<int>(cpu) + 1) == nullptr, armed[cpu]);
            armed[cpu].given = armed[cpu].over ? points_.debug_over(*armed[cpu].over) : armed[cpu].wanted;
            same = armed[cpu].given == armed_.cpus[cpu].given;
            at_stop_[cpu].reset();
            if (trap_flag_ && armed[cpu].wanted.single_step && registers_[cpu].known)
                armed[cpu].from = registers_[cpu].values.core;
        }
        const bool changed = registers_[cpu].changed;
        if (same && !changed) continue;
        all_the_same = false;
        const Registers values = registers_[cpu].values.core;
        const GuestDebug debug = armed[cpu].given;
        // Registers first: KVM remembers for a step where it begins.
        std::function<void(Cpu&)> work = [changed, values, debug](Cpu& to) {
            if (changed) to.set_registers(values);
            static_cast<void>(to.set_debug(debug));
        };
        co_await call(cpu, std::move(work));
        registers_[cpu].changed = false;
    }
    put_int3s();
    {
        const std::lock_guard lock(mutex_);
        armed_.cpus = std::move(armed);
        armed_.alone = running.size() == 1;
        armed_.physical = physical_;
        armed_.points = points_;
        armed_.file = file_;
        for (const unsigned cpu : running) {
            if (const auto over = armed_.cpus[cpu].over) begin_over(armed_.cpus[cpu], *over);
        }
        crashed_.assign(crashed_.size(), false);
    }
    remember_watched();
    const bool steps = running.size() == 1 && one_step;
    if (steps && all_the_same && !watch_.goes_on && step_here(running.front())) co_return;
    for (const unsigned cpu : running) machine_.release(cpu);
    pause_.reset();
    if (watch_.goes_on) watch_.goes_on();
    changed_.notify();
}

awaitable<void> Debuggee::go_on() {
    std::vector<ThreadAction> all(1);
    touched_ = true;
    co_await go_on(std::move(all));
}

awaitable<void> Debuggee::leave() {
    co_await halt();
    points_.remove_transient();
    attach(false);
    co_await go_on();
}

awaitable<void> Debuggee::reset() {
    co_await machine_.reset();
    for (auto& cached : registers_) cached = {};
    for (unsigned cpu = 0; cpu < cpus(); ++cpu) machine_.release(cpu);
    untold_.clear();
    const std::lock_guard lock(mutex_);
    for (ArmedCpu& cpu : armed_.cpus) cpu.over.reset();
    at_stop_.assign(at_stop_.size(), std::nullopt);
    stops_.clear();
    crashed_.assign(crashed_.size(), false);
}

}  // namespace asyncvm::gdb
