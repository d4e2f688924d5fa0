/// A condition or a dprintf as gdb compiles it for a stub: the bytecode of "The GDB Agent Expression Mechanism" in gdb's
/// manual. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "gdb/agent_context.hpp"
#include "gdb/agent_format.hpp"

namespace asyncvm::gdb {

class AgentExpression {
public:
    static constexpr std::size_t deepest = 64;             ///< values on the stack
    static constexpr unsigned most_steps = 10000;          ///< operations of one evaluation
    static constexpr std::size_t longest_output = 0x4000;  ///< bytes that one evaluation prints, but for its last operation

    enum class Use : std::uint8_t {
        condition,  ///< it has a value, and prints nothing
        command,    ///< it prints
    };

    /// Any bytes.
    explicit AgentExpression(std::string code, Use use = Use::condition);

    /// Whether each operation is one that this use needs, the stack is right wherever jumps lead, and the end is reached, of
    /// a condition with a value. Otherwise nothing is evaluated.
    [[nodiscard]] bool sound() const noexcept { return flaw_.empty(); }

    /// Nothing: it is not sound, divides by zero, reads what is not there, or does not come to an end.
    [[nodiscard]] std::optional<std::uint64_t> evaluate(AgentContext& context) const;

    /// Appends to `to` what a command prints. Returns why there is no more of it; empty: that is all. For a condition the
    /// same, which has nothing to print.
    [[nodiscard]] std::string run(AgentContext& context, std::string& to) const;

private:
    struct Outcome {
        enum class Why : std::uint8_t { ended, no_register, no_memory, division, prints_elsewhere, too_long, endless };
        Why why = Why::ended;
        std::uint64_t value = 0;  ///< of a condition; otherwise the address or the register
    };
    /// A printf: its values, the place behind it, and what it prints.
    struct Print {
        std::size_t values = 0;
        std::size_t next = 0;
        AgentFormat format;
    };

    [[nodiscard]] std::string find_flaw();
    [[nodiscard]] std::string read_print(std::size_t place);
    [[nodiscard]] std::uint64_t operand(std::size_t at, std::size_t size) const noexcept;
    [[nodiscard]] Outcome execute(AgentContext& context, std::string& to) const;

    std::string code_;
    Use use_;
    std::map<std::size_t, Print> prints_;  ///< by place
    std::string flaw_;
};

}  // namespace asyncvm::gdb
