/// What people type for a number in the human monitor: `$rip+4*2`. Pure.
#pragma once

#include <asyncvm/registers.hpp>

#include <cstdint>
#include <optional>
#include <string_view>

namespace asyncvm::monitor {

/// A register by the name that a data sheet or QEMU's monitor has for it: rax, eax, rip, eip, pc (as a linear address),
/// rflags, cs, cs.base, cs.limit, gdt.base, cr3, efer. Nothing: there is none.
[[nodiscard]] std::optional<std::uint64_t> register_value(const Registers& registers, std::string_view name);

/// The value of all of `text`: numbers as in C, 'c', $register, ( ), unary + - ~, and by rank * / %, & | ^, + - as QEMU's
/// monitor ranks them. With 64 bits, without overflow. Throws HumanError.
[[nodiscard]] std::uint64_t evaluate(std::string_view text, const Registers& registers);

}  // namespace asyncvm::monitor
