/// The flag by which a processor steps, where the guest could see it. Pure but for the memory.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstddef>
#include <span>

namespace asyncvm::gdb {

/// Whether the instruction that begins `code` is PUSHF, with whatever prefixes.
[[nodiscard]] bool pushes_flags(std::span<const std::byte> code, bool long_mode) noexcept;

/// After a step from `before` to `after`: PUSHF has stored the flags with the trap flag of the step, which the guest does
/// not have.
void hide_trap_flag(GuestMemory& memory, const Registers& before, const Registers& after) noexcept;

}  // namespace asyncvm::gdb
