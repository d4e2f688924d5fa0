/// The architectural state of an engine.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <cstdint>

#include "accel/unicorn/engine.hpp"

namespace asyncvm::unicorn {

/// The state of `engine`, but for RIP and the base of CS, which only the emulation knows. Unicorn does not tell the hidden
/// part of the other segment registers: it is what the guest `started` with while selector and mode are the same, otherwise
/// what real mode gives it, or what the descriptor in memory says.
[[nodiscard]] Registers read_state(const Engine& engine, const GuestMemory* memory, const Registers& started);

/// Throws Error(host) for a state that cannot be set here: user mode, virtual-8086 mode, 5-level paging.
void check_settable(const Registers& registers);

/// What the start stub leaves to its caller.
void write_state(Engine& engine, const GuestMemory* memory, const Registers& registers);

}  // namespace asyncvm::unicorn
