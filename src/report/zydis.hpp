/// Zydis, where there is one.
#pragma once

#include "report/disassembler.hpp"

namespace asyncvm {

/// Whether the program was built with it and its library is on this host.
[[nodiscard]] bool have_zydis() noexcept;

/// As disassemble(). After a have_zydis() that said yes.
[[nodiscard]] std::vector<Instruction> decode_with_zydis(std::span<const std::byte> code, std::uint64_t rip, unsigned bits);

}  // namespace asyncvm
