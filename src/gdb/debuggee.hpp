/// The machine as its debugger sees it: stopped as a whole or running, with registers, memory and breakpoints.
#pragma once

#include <asyncvm/event.hpp>
#include <asyncvm/machine.hpp>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gdb/breakpoints.hpp"
#include "gdb/command.hpp"
#include "gdb/printed.hpp"
#include "gdb/register_file.hpp"

namespace asyncvm::gdb {

/// Why the machine has stopped by itself.
struct Stop {
    enum class Why : std::uint8_t { asked, step, breakpoint, hardware_breakpoint, watchpoint, crash };
    Why why = Why::asked;
    unsigned cpu = 0;
    std::uint64_t address = 0;  ///< of the breakpoint, or of what is watched
    Breakpoints::Type watch = Breakpoints::Type::write;
    int signal = 5;  ///< as gdb numbers them: SIGTRAP, SIGSEGV after a triple fault, SIGILL
};

/// Whether a guest that has crashed stays for a debugger.
enum class CrashPolicy : std::uint8_t {
    if_attached,  ///< for one that is there
    wait,         ///< also for one that comes later
    end,          ///< the run ends
};

/// Hears when the debugger stops the machine and lets it go on, for others who show that. On the device loop.
struct DebuggerWatch {
    /// Without a stop of the guest's own somebody has asked for it.
    std::function<void(const std::optional<Stop>& stop)> stopped{};
    std::function<void()> goes_on{};
};

/// All functions but stopped() on the device loop; the coroutines one at a time.
class Debuggee {
public:
    Debuggee(Machine& machine, CrashPolicy on_crash, Log log, DebuggerWatch watch = {});
    /// What breakpoints that come from now on can be made of.
    void set_features(DebugFeatures features) noexcept {
        points_.set_features(features);
        trap_flag_ = features.trap_flag;
    }

    /// MachineConfig::on_stop. On the vCPU's thread.
    [[nodiscard]] StopAction stopped(unsigned cpu, const Exit& exit, Cpu& from);

    /// Something may have happened: stop() has a new one, or the debugger's client has.
    [[nodiscard]] Event& changed() noexcept { return changed_; }
    /// A stop that go_on() has not answered yet.
    [[nodiscard]] std::optional<Stop> stop() const;
    /// A vCPU has crashed and rests.
    [[nodiscard]] bool crashed() const;

    /// Before the run: the guest does not begin before go_on().
    [[nodiscard]] awaitable<void> hold_start();
    /// A debugger is there, and inserts its own breakpoints, or is gone.
    void attach(bool attached);
    /// Everything stands when it completes. Throws Error(host).
    [[nodiscard]] awaitable<void> halt();
    [[nodiscard]] bool halted() const noexcept { return pause_.has_value(); }
    /// Each vCPU does what the first action for it says; without one it rests.
    [[nodiscard]] awaitable<void> go_on(std::vector<ThreadAction> actions);
    /// All vCPUs do.
    [[nodiscard]] awaitable<void> go_on();
    /// Without breakpoints but for those that persist; all vCPUs go on.
    [[nodiscard]] awaitable<void> leave();

    /// What dprintfs have printed. changed() tells when there is something.
    [[nodiscard]] Printed& printed() noexcept { return printed_; }

    // While everything stands.
    [[nodiscard]] awaitable<Registers> registers(unsigned cpu);
    /// The vCPU gets them when it goes on.
    void set_registers(unsigned cpu, const Registers& registers);
    /// With what of them comes from `source`; the others as far as they have been asked for since the stop.
    [[nodiscard]] awaitable<RegisterValues> values(unsigned cpu, Source source);
    /// At once; false: the accelerator does not take them. Both throw Error(host).
    [[nodiscard]] awaitable<bool> set_fpu(unsigned cpu, FpuRegisters registers);
    [[nodiscard]] awaitable<bool> set_msr(unsigned cpu, std::uint32_t index, std::uint64_t value);
    /// Nothing: the accelerator has no interrupt controllers.
    [[nodiscard]] awaitable<std::optional<InterruptState>> interrupts(unsigned cpu);
    /// Nothing: this vCPU does not have it.
    [[nodiscard]] awaitable<std::optional<std::uint64_t>> msr(unsigned cpu, std::uint32_t index);
    /// Of the vCPU's linear addresses, or physical ones. Returns how much there is.
    [[nodiscard]] awaitable<std::size_t> read(unsigned cpu, std::uint64_t address, std::span<std::byte> to);
    [[nodiscard]] awaitable<std::size_t> write(unsigned cpu, std::uint64_t address, std::span<const std::byte> from);
    /// False: this host has no means. Says once when one is slower than what was asked for.
    [[nodiscard]] awaitable<bool> insert(unsigned cpu, Breakpoints::Type type, std::uint64_t address, std::uint64_t length,
                                         Breakpoints::Conditions conditions, Breakpoints::Commands commands);
    /// The registers that conditions and commands name.
    void set_register_file(std::shared_ptr<const RegisterFile> file) noexcept { file_ = std::move(file); }
    void remove(Breakpoints::Type type, std::uint64_t address, std::uint64_t length);
    /// The machine starts anew, and stands.
    [[nodiscard]] awaitable<void> reset();

    [[nodiscard]] bool physical() const noexcept { return physical_; }
    void set_physical(bool on) noexcept { physical_ = on; }

    [[nodiscard]] unsigned cpus() const noexcept { return machine_.cpus(); }
    [[nodiscard]] Machine& machine() noexcept { return machine_; }

private:
    struct CachedRegisters {
        RegisterValues values;
        bool known = false;    ///< the core's
        bool changed = false;  ///< these
        bool fpu_known = false;
        bool msrs_known = false;
    };
    struct ArmedCpu {
        bool runs = false;
        std::optional<ThreadAction> step;   ///< gdb wants to hear where it ends
        GuestDebug wanted;                  ///< while it runs
        GuestDebug given;                   ///< what it has
        std::optional<std::uint64_t> over;  ///< it goes over the breakpoints at this address, whose commands are done
        std::uint64_t over_from = 0;        ///< and stands there, which may be another address of the same place
        std::optional<Registers> from;      ///< where its step began, if trap_flag_
        std::optional<std::uint64_t> told;  ///< it stands at this breakpoint, and gdb knows, and has touched none since
    };
    /// What a vCPU's thread needs for its stops; under mutex_.
    struct Armed {
        bool attached = false;
        bool alone = false;  ///< one vCPU runs, the others are held
        bool physical = false;
        std::vector<ArmedCpu> cpus;
        Breakpoints points;
        std::shared_ptr<const RegisterFile> file;
        std::vector<std::vector<std::byte>> watched;  ///< the bytes, for each of `points`
    };
    /// What becomes of a vCPU.
    struct Verdict {
        std::optional<Stop> stop{};
        std::optional<std::uint64_t> over{};  ///< it does not stop at the breakpoints at this address
        bool own = false;                     ///< it is the guest's own INT3
        bool came = false;                    ///< the commands of the breakpoints there are done
    };

    [[nodiscard]] Verdict judge(unsigned cpu, const Debug& debug, std::uint64_t place, const std::optional<Registers>& now);
    [[nodiscard]] Verdict judge_breakpoint(unsigned cpu, const Breakpoints::Point& point,
                                           const std::optional<Registers>& now);
    [[nodiscard]] Verdict judge_int3(unsigned cpu, std::uint64_t place, const std::optional<Registers>& now);
    [[nodiscard]] std::optional<Stop> judge_watched(unsigned cpu);
    void pass_silently(const ArmedCpu& cpu, std::uint64_t place, Verdict& verdict);
    void print_once(ArmedCpu& cpu, bool done, std::uint64_t place, const std::optional<Registers>& now);
    [[nodiscard]] bool come_to(std::uint64_t address, const Registers& now);
    [[nodiscard]] awaitable<void> print_where_they_stand();
    void begin_over(ArmedCpu& cpu, std::uint64_t address);
    std::optional<std::uint64_t> end_over(ArmedCpu& cpu);
    void end_step(unsigned cpu, const std::optional<Registers>& now);
    [[nodiscard]] StopAction crash(unsigned cpu, const Exit& exit);
    void has_stopped();
    void adopt_registers();
    [[nodiscard]] bool step_here(unsigned cpu);
    void keep_over(unsigned cpu, bool alone, ArmedCpu& next) const;
    [[nodiscard]] bool keep_other_stops(const std::vector<ThreadAction>& actions);
    void put_int3s();
    void take_int3s();
    void remember_watched();
    void say_fallback(Breakpoints::Type type, Breakpoints::Means means);
    [[nodiscard]] awaitable<void> call(unsigned cpu, std::function<void(Cpu&)> work);

    Machine& machine_;
    const CrashPolicy on_crash_;
    const Log log_;
    const DebuggerWatch watch_;
    Event changed_;
    std::optional<Pause> pause_;
    bool physical_ = false;
    bool trap_flag_ = false;
    bool said_[2] = {};  ///< say_fallback(), by means
    unsigned steps_here_ = 0;
    std::vector<CachedRegisters> registers_;
    std::vector<std::uint64_t> int3s_;  ///< where they are now
    Breakpoints points_;
    std::shared_ptr<const RegisterFile> file_;
    mutable std::mutex mutex_;
    Armed armed_;
    std::vector<Stop> stops_;                        ///< gdb is told of the first; under mutex_
    std::vector<Stop> untold_;                       ///< of other vCPUs, at the same moment
    std::vector<std::optional<Registers>> at_stop_;  ///< by vCPU: what it had then; under mutex_
    std::vector<bool> crashed_;
    bool touched_ = false;                    ///< breakpoints, since the guest has stood
    std::optional<std::uint64_t> said_lost_;  ///< of a dprintf there; under mutex_
    Printed printed_;
};

}  // namespace asyncvm::gdb
