/// What a PC's interrupt controllers hold, for those who look at a machine. Names as in the data sheets.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <array>
#include <cstddef>
#include <cstdint>

namespace asyncvm {

/// One 8259A.
struct PicState {
    std::uint8_t irr = 0;     ///< requested, a bit a line
    std::uint8_t isr = 0;     ///< in service
    std::uint8_t imr = 0;     ///< masked
    std::uint8_t vector = 0;  ///< of line 0
    std::uint8_t elcr = 0;    ///< lines that are level-triggered
};

/// An IOAPIC 82093AA.
struct IoapicState {
    std::uint32_t irr = 0;                        ///< inputs that are high, a bit each
    std::array<std::uint64_t, 24> redirection{};  ///< the table's entries
};

/// A local APIC (Intel SDM vol. 3, 10.4.1).
struct LocalApicState {
    std::uint64_t base = 0;                     ///< IA32_APIC_BASE
    std::array<std::uint32_t, 64> registers{};  ///< from offset 0 on, 16 bytes apart: as in the page of memory
    [[nodiscard]] std::uint32_t at(std::size_t offset) const { return registers.at(offset / 16); }
};

/// The machine's, and the local APIC of one vCPU.
struct InterruptState {
    std::array<PicState, 2> pics{};
    IoapicState ioapic{};
    LocalApicState local{};
};

}  // namespace asyncvm
