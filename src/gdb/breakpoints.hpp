/// Breakpoints and watchpoints, and by which means this host can have the guest stop there. Pure.
#pragma once

#include <asyncvm/accelerator.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gdb/agent_expression.hpp"

namespace asyncvm::gdb {

/// Which of the exits of a debugger this host delivers.
struct DebugFeatures {
    bool steps = false;
    bool debug_registers = false;  ///< stop in front of instructions
    bool watchpoints = false;      ///< debug registers, behind writes and reads of data
    bool int3 = false;
    bool trap_flag = false;  ///< a step sets RFLAGS.TF, which the guest may see
};

/// Where there are some the guest does not stop. As many as conditions: each is for the condition at its place, because gdb
/// makes both lists of the same dprintfs. Otherwise all of them are for each condition.
struct BreakpointCommands {
    std::vector<AgentExpression> list{};  ///< AgentExpression::Use::command
    bool persist = false;                 ///< they stay when the debugger is gone
};

class Breakpoints {
public:
    static constexpr std::byte int3{0xcc};  ///< the instruction

    /// As gdb numbers them.
    enum class Type : std::uint8_t { software, hardware, write, read, access };

    enum class Means : std::uint8_t {
        int3,            ///< an INT3 in the guest's memory, while the guest runs
        debug_register,  ///< four of them
        steps,           ///< one instruction at a time, with a look after each: slow
    };

    /// One that holds is enough; so is one that can't be evaluated, because gdb evaluates it again. None: the guest stops.
    using Conditions = std::vector<AgentExpression>;

    using Commands = BreakpointCommands;

    struct Point {
        Type type = Type::software;
        std::uint64_t address = 0;  ///< linear
        std::uint64_t length = 1;   ///< bytes, of data
        Means means = Means::int3;
        unsigned slot = 0;           ///< of Means::debug_register
        std::uint64_t physical = 0;  ///< of Means::int3, and of data with Means::steps
        Conditions conditions{};
        Commands commands{};
    };

    /// `several`: there is more than one vCPU.
    explicit Breakpoints(DebugFeatures features = {}, bool several = false) noexcept
        : features_(features), several_(several) {}
    /// For those that are added from now on.
    void set_features(DebugFeatures features) noexcept { features_ = features; }

    /// `physical`: where the address is mapped to, if it is. Nothing: this host has no means. One that is there already
    /// gets these conditions and commands, and otherwise stays as it is, if it can.
    [[nodiscard]] std::optional<Means> add(Type type, std::uint64_t address, std::uint64_t length,
                                           std::optional<std::uint64_t> physical, Conditions conditions = {},
                                           Commands commands = {});
    void remove(Type type, std::uint64_t address, std::uint64_t length);
    /// All whose commands do not persist.
    void remove_transient();
    void clear() noexcept { points_.clear(); }

    [[nodiscard]] const std::vector<Point>& all() const noexcept { return points_; }
    /// Null: none.
    [[nodiscard]] const Point* in_slot(unsigned slot) const noexcept;
    /// A breakpoint, of data or not; null: none.
    [[nodiscard]] const Point* at(std::uint64_t address, Means means) const noexcept;

    /// A vCPU, whose registers and memory `context` has, has come to the breakpoints at this address: appends to `printed`
    /// what their commands print, and returns whether it stops.
    [[nodiscard]] bool come_to(std::uint64_t address, AgentContext& context, std::string& printed) const;

    /// Whether there are commands at this address.
    [[nodiscard]] bool prints_at(std::uint64_t address) const noexcept;

    /// Whether the guest has to go step by step.
    [[nodiscard]] bool need_steps() const noexcept;
    /// What a vCPU is given, but for single steps that gdb asks for.
    [[nodiscard]] GuestDebug debug() const noexcept;
    /// The same for one that goes over the breakpoints at this address with one step, in which it takes no interrupt.
    [[nodiscard]] GuestDebug debug_over(std::uint64_t address) const noexcept;

    [[nodiscard]] static bool of_data(Type type) noexcept { return type != Type::software && type != Type::hardware; }

private:
    [[nodiscard]] std::optional<unsigned> free_slot() const noexcept;
    /// `passes`: a vCPU may go on there without gdb; `always`: it does.
    [[nodiscard]] std::optional<Means> means_for(Type type, std::uint64_t address, std::uint64_t length, bool mapped,
                                                 bool passes, bool always) const noexcept;

    DebugFeatures features_;
    bool several_;
    std::vector<Point> points_;
};

}  // namespace asyncvm::gdb
