/// What gdb's bytecode looks at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace asyncvm::gdb {

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
    /// Of C's long and of pointers: 32 or 64.
    [[nodiscard]] virtual unsigned word_bits() const noexcept = 0;
};

}  // namespace asyncvm::gdb
