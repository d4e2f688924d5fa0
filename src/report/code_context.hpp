/// Where a guest died: the place, how its code is to be read, and what can be read there.
#pragma once

#include "report/report.hpp"
#include "x86/page_walk.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace asyncvm {

struct CodeContext {
    Registers registers;            ///< the guest's; after a reset those that the vCPU started with, at the last exit's RIP
    bool reset = false;             ///< KVM has reset the processor: what it had in its registers is lost
    bool place_known = true;        ///< false: reset before any exit; the place is the entry then
    unsigned bits = 16;             ///< of the code: 16, 32, 64
    std::uint64_t linear = 0;       ///< of the instruction at RIP
    PageWalk walk{};                ///< of `linear`
    std::vector<std::byte> code{};  ///< at RIP, up to 64 bytes; empty where there is no memory
};

[[nodiscard]] CodeContext look_at(const CrashContext& crash);

/// 16, 32 or 64.
[[nodiscard]] unsigned code_bits(const Registers& registers) noexcept;

/// `16-bit real mode`, `64-bit long mode`, ...
[[nodiscard]] std::string mode_name(const Registers& registers);

/// The linear address of `offset` in a segment, as the mode computes it.
[[nodiscard]] std::uint64_t linear_address(const Registers& registers, const Segment& segment,
                                           std::uint64_t offset) noexcept;

/// Whether real mode or virtual-8086 mode counts addresses as `1000:0003`.
[[nodiscard]] bool has_paragraphs(const Registers& registers) noexcept;

}  // namespace asyncvm
