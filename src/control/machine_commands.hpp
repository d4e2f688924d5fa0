/// What the commands of the control socket do with a machine.
#pragma once

#include "control/command_group.hpp"
#include "control/json.hpp"
#include "control/memory_dump.hpp"
#include "control/schema.hpp"
#include "monitor/view.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/machine.hpp>
#include <asyncvm/outcome.hpp>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::control {

/// What the commands work on. `machine` outlives them; the functions are called on the device loop.
struct Subject {
    Machine& machine;
    bool held = false;                                    ///< the guest begins at `cont`: hold() is awaited before the run
    bool statistics = false;                              ///< MachineConfig::statistics
    std::function<std::string()> statistics_text{};       ///< as --stats prints it
    std::vector<std::shared_ptr<CommandGroup>> groups{};  ///< are asked in this order
    /// Where a debugger may come: it hears that the guest has been stopped, and lets it go on. The other direction is
    /// MachineCommands::debugger_stopped() and debugger_goes_on().
    std::function<awaitable<void>()> tell_debugger{};
    std::function<awaitable<void>()> debugger_go_on{};
    std::function<bool()> runs_on_kvm{};  ///< asked after Machine::prepared()
    std::function<void()> quit{};         ///< ends the program; called later than the command is answered
};

/// One for a machine, whoever asks: what one client stops another one lets go on. Everything on the device loop's thread.
class MachineCommands {
public:
    /// An event for all clients. `data` is an object.
    using Tell = std::function<void(std::string_view name, const Json& data)>;

    MachineCommands(Subject subject, Tell tell);

    /// `arguments` fit the command's. Returns what is answered; throws CommandError, and what the machine throws.
    [[nodiscard]] awaitable<Json> carry_out(const Command& command, const Json& arguments);

    /// Before the run, of a Subject that is held: the guest does not begin before `cont`.
    [[nodiscard]] awaitable<void> hold();

    /// A debugger has stopped the guest, perhaps because of what the guest did; it has let it go on.
    void debugger_stopped(bool at_event);
    void debugger_goes_on();

    // What the machine's observer hears.

    void run_begins() noexcept { phase_ = Phase::begun; }
    void was_reset();
    /// Tells how the run has ended, unless `quit` has.
    void run_ended(const Outcome& outcome);

private:
    enum class Phase : std::uint8_t { before, begun, ended };
    [[nodiscard]] std::string_view status() const noexcept;
    [[nodiscard]] Json query_status() const;
    [[nodiscard]] Json query_devices();
    [[nodiscard]] awaitable<Json> query_cpus();
    [[nodiscard]] awaitable<Json> query_kvm();
    [[nodiscard]] awaitable<void> stop();
    [[nodiscard]] awaitable<void> cont();
    [[nodiscard]] awaitable<void> reset();
    void quit();
    [[nodiscard]] awaitable<void> inject_nmi();
    [[nodiscard]] awaitable<void> save_memory(const Json& arguments, bool linear);
    [[nodiscard]] awaitable<std::string> human(std::string_view line, std::uint64_t cpu);
    [[nodiscard]] awaitable<std::optional<std::string>> human_look(std::string line, unsigned cpu);
    [[nodiscard]] awaitable<std::string> human_info(std::string_view what, std::uint64_t cpu);
    [[nodiscard]] std::string human_help() const;

    [[nodiscard]] bool stopped() const noexcept { return pause_ || held_ || dump_pause_ || debugged_; }
    void tell_whether_stopped();
    void go_on();
    [[nodiscard]] awaitable<void> begin_dump();
    void end_dump();
    [[nodiscard]] awaitable<void> human_dump(std::string_view words);

    Subject subject_;
    monitor::View view_;
    Tell tell_;
    Phase phase_ = Phase::before;
    std::optional<Pause> pause_;
    std::optional<Pause> dump_pause_;
    bool held_;  ///< since before the first instruction; `pause_` may not be there yet
    /// A debugger holds the guest; the status that goes with it: "debug" or "paused".
    std::optional<std::string_view> debugged_;
    bool told_stopped_;
    std::shared_ptr<MemoryDump> dump_;
    bool resetting_ = false;
    bool told_of_end_ = false;
};

/// The answer to query-stats.
[[nodiscard]] Json to_json(const Statistics& statistics);

}  // namespace asyncvm::control
