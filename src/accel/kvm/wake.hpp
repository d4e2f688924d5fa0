/// Whether anything can interrupt a vCPU that sleeps.
#pragma once

#include <linux/kvm.h>

#include <cstdint>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// What decides of a vCPU's own.
struct LocalApic {
    kvm_lapic_state registers{};
    std::uint64_t base = 0;          ///< IA32_APIC_BASE
    std::uint64_t tsc_deadline = 0;  ///< IA32_TSC_DEADLINE: 0 is off
};

/// Throws Error(host).
[[nodiscard]] LocalApic read_local_apic(const Fd& cpu);

struct InterruptSources {
    LocalApic apic;
    kvm_ioapic_state ioapic{};
    kvm_pic_state master{};
    kvm_pic_state slave{};
    std::uint8_t pit_mode = 0xff;  ///< of channel 0; 0xff: it does not count, or there is none
    std::uint32_t driven = 0;      ///< GSIs that a device may raise, a bit each
    bool messages = false;         ///< a device may send messages
};

/// False only if no timer runs, nothing is pending, and every line that something drives is masked wherever it leads. A PIC
/// that was never initialised leads nowhere. Pure.
[[nodiscard]] bool interrupt_may_come(const InterruptSources& sources) noexcept;

}  // namespace asyncvm::kvm
