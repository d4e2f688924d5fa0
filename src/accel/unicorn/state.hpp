/// The architectural state of an engine.
#pragma once

#include <asyncvm/fpu_registers.hpp>
#include <asyncvm/guest_memory.hpp>
#include <asyncvm/registers.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

#include "accel/unicorn/engine.hpp"

namespace asyncvm::unicorn {

/// The state of `engine`, but for RIP and the base of CS, which only the emulation knows. Unicorn does not show the hidden
/// part of the other segment registers: it is what the guest `started` with while selector and mode are the same, otherwise
/// what real mode gives it, or what the descriptor in memory says.
[[nodiscard]] Registers read_state(const Engine& engine, const GuestMemory* memory, const Registers& started);

/// What Registers does not have: x87, SSE, and the MSRs that only system code uses.
struct ExtendedState {
    struct Msr {
        std::uint32_t index = 0;
        std::uint64_t value = 0;
    };
    std::array<std::array<std::byte, 16>, 16> xmm{};
    std::array<std::array<std::byte, 16>, 8> x87{};  ///< 10 bytes each, by their own numbers, not from the stack's top on
    std::uint64_t mxcsr = 0, control = 0, status = 0, tags = 0;
    std::array<Msr, 9> msrs{};
};

[[nodiscard]] ExtendedState read_extended(const Engine& engine);
void write_extended(Engine& engine, const ExtendedState& state);

/// Without the pointers to the last instruction, which Unicorn does not show.
[[nodiscard]] FpuRegisters to_fpu_registers(const ExtendedState& state);
void from_fpu_registers(const FpuRegisters& registers, ExtendedState& to);

/// Throws Error(host) for a state that cannot be set here: user mode, virtual-8086 mode, 5-level paging.
void check_settable(const Registers& registers);

/// What the start stub leaves to its caller.
void write_state(Engine& engine, const GuestMemory* memory, const Registers& registers);

}  // namespace asyncvm::unicorn
