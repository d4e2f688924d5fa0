/// Machine code to text, where a disassembler was there to build with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace asyncvm {

struct Instruction {
    std::uint64_t address = 0;           ///< of its first byte, counted from the `rip` that was given
    std::span<const std::byte> bytes{};  ///< a part of what was given
    std::string text;                    ///< `mov al, 0x48`, `(bad)`; empty without a disassembler
};

/// Whether text can be expected.
[[nodiscard]] bool can_disassemble() noexcept;

/// The instructions in `code`, whose first byte lies at `rip`. `bits` is 16, 32 or 64. What is no instruction becomes
/// `(bad)`, a byte at a time; an instruction that `code` cuts off at its end is left out. Without a disassembler: rows of 8
/// bytes.
[[nodiscard]] std::vector<Instruction> disassemble(std::span<const std::byte> code, std::uint64_t rip, unsigned bits);

}  // namespace asyncvm
