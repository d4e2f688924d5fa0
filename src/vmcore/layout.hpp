/// The file that debuggers read a guest from: an ELF core as QEMU's dump-guest-memory writes it, for gdb, crash and
/// makedumpfile. Pure.
#pragma once

#include <asyncvm/fpu_registers.hpp>
#include <asyncvm/registers.hpp>

#include "x86/mapped_ranges.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace asyncvm::vmcore {

inline constexpr std::uint64_t page_size = 4096;

/// One vCPU.
struct Thread {
    Registers registers;
    int signal = 0;                     ///< what has ended it, as gdb says it; 0: nothing has
    std::optional<FpuRegisters> fpu{};  ///< nothing: the accelerator does not tell
};

/// Guest-physical memory.
struct Range {
    std::uint64_t first = 0;
    std::uint64_t size = 0;  ///< bytes, not 0
};

struct Layout {
    struct Part {
        Range memory;
        std::uint64_t offset = 0;  ///< in the file; congruent to the address, by pages
    };
    std::vector<std::byte> head;  ///< what the file begins with
    std::vector<Part> parts;
    std::uint64_t size = 0;    ///< of the file
    std::size_t left_out = 0;  ///< of `mapped`: there are more than a file can name
};

/// A thread a vCPU, in their order. `memory`: what the file has, in the order of its addresses. Each range of `mapped` is in
/// the file at its linear address as far as `memory` has it, and behind that all memory at its physical one. 32-bit ELF if
/// no vCPU is in long mode and there is no memory above 4 GiB: gdb then takes 32-bit programs for it. `more`: notes as they
/// are in the file, behind those of the vCPUs.
[[nodiscard]] Layout lay_out(std::span<const Thread> threads, std::span<const Range> memory,
                             std::span<const MappedRange> mapped, std::span<const std::byte> more = {});

}  // namespace asyncvm::vmcore
