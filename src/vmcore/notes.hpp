/// The notes of a core file: what is known of the vCPUs. Pure.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "vmcore/layout.hpp"

namespace asyncvm::vmcore {

/// NT_PRSTATUS of each vCPU (Linux's struct elf_prstatus, of x86-64 or of i386) with its x87 and SSE registers (NT_FPREGSET,
/// or NT_PRXFPREG in a file of 32 bits) and, if it has AVX, NT_X86_XSTATE behind it. Then "QEMU" of each (struct
/// QEMUCPUState of QEMU's target/i386/arch_dump.c), which has the control registers and the descriptor tables.
/// Program counter and stack pointer of the first kind are linear addresses, as the debugger's server gives them; those of
/// the second are as they are.
[[nodiscard]] std::vector<std::byte> notes(std::span<const Thread> threads, bool elf64);

}  // namespace asyncvm::vmcore
