/// A vCPU's registers and memory, for the conditions and commands of breakpoints.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include "gdb/agent_context.hpp"
#include "gdb/register_file.hpp"
#include "x86/bits.hpp"
#include "x86/linear.hpp"
#include "x86/page_walk.hpp"

namespace asyncvm::gdb {

class GuestContext final : public AgentContext {
public:
    /// `physical`: addresses are. All of them outlive the object.
    GuestContext(const GuestMemory& memory, const RegisterFile& file, const Registers& registers, bool physical) noexcept
        : memory_(memory), file_(file), registers_(registers), physical_(physical) {}

    /// The others, x87 to AVX and MSRs, have no value here: gdb is asked.
    [[nodiscard]] std::optional<std::uint64_t> reg(unsigned number) override {
        const RegisterEntry* const entry = file_.find(number);
        if (entry == nullptr || entry->source != Source::core) return std::nullopt;
        const std::uint64_t value = entry->get(registers_);
        return entry->bits < 64 ? value & ((std::uint64_t{1} << entry->bits) - 1) : value;
    }

    [[nodiscard]] bool read(std::uint64_t address, std::span<std::byte> to) override {
        if (physical_) return memory_.read(address, to) == to.size();
        // What is computed has 64 bits.
        if ((registers_.efer & efer_lma) == 0) address &= 0xffff'ffff;
        return read_linear(memory_, registers_, address, to) == to.size();
    }

    [[nodiscard]] unsigned word_bits() const noexcept override { return file_.width() == Width::long64 ? 64 : 32; }

private:
    const GuestMemory& memory_;
    const RegisterFile& file_;
    const Registers& registers_;
    const bool physical_;
};

}  // namespace asyncvm::gdb
