/// A condition as gdb compiles it for a stub: the bytecode of "The GDB Agent Expression Mechanism" in gdb's manual. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace asyncvm::gdb {

/// What an expression looks at.
class AgentContext {
public:
    AgentContext() = default;
    AgentContext(const AgentContext&) = delete;
    AgentContext& operator=(const AgentContext&) = delete;
    virtual ~AgentContext() = default;

    /// As gdb numbers them; of a narrower one the upper bits are zeros. Nothing: it has no value.
    [[nodiscard]] virtual std::optional<std::uint64_t> reg(unsigned number) = 0;
    /// False: not all of it is there.
    [[nodiscard]] virtual bool read(std::uint64_t address, std::span<std::byte> to) = 0;
};

class AgentExpression {
public:
    static constexpr std::size_t deepest = 64;     ///< values on the stack
    static constexpr unsigned most_steps = 10000;  ///< operations of one evaluation

    /// Any bytes.
    explicit AgentExpression(std::string code);

    /// Whether each operation is one that a condition needs, the stack is right wherever jumps lead, and the end is reached
    /// with a value. Otherwise nothing is evaluated.
    [[nodiscard]] bool sound() const noexcept { return sound_; }

    /// Nothing: it is not sound, divides by zero, reads what is not there, or does not come to an end.
    [[nodiscard]] std::optional<std::uint64_t> evaluate(AgentContext& context) const;

private:
    [[nodiscard]] bool verify() const;
    [[nodiscard]] std::uint64_t operand(std::size_t at, std::size_t size) const noexcept;

    std::string code_;
    bool sound_ = false;
};

}  // namespace asyncvm::gdb
