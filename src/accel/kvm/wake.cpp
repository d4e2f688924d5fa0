#include "accel/kvm/wake.hpp"

#include <array>
#include <cstring>
#include <span>

#include "accel/kvm/sized_list.hpp"

namespace asyncvm::kvm {

namespace {

// Offsets in the local APIC's page (Intel SDM vol. 3, table 11-1).
constexpr unsigned apic_irr = 0x200;
constexpr unsigned apic_lvt_timer = 0x320;
constexpr unsigned apic_lvt_lint0 = 0x350;
constexpr unsigned apic_timer_initial = 0x380;
constexpr unsigned apic_timer_current = 0x390;

constexpr std::uint32_t lvt_masked = 1u << 16;
constexpr std::uint32_t lvt_delivery = 7u << 8;  // all of them: from a PIC
constexpr std::uint64_t apic_base_enabled = 1u << 11;
constexpr unsigned cascade = 2;  // the master's input that the slave is on
constexpr unsigned pic_inputs_each = 8;
constexpr std::uint8_t pit_off = 0xff;
constexpr std::uint32_t tsc_deadline_msr = 0x6e0;
constexpr unsigned long get_one_msr = _IOWR(KVMIO, 0x88, CountFlagsHeader);  // KVM_GET_MSRS

std::uint32_t apic_register(const LocalApic& apic, unsigned offset) noexcept {
    std::uint32_t value = 0;
    std::memcpy(&value, apic.registers.regs + offset, sizeof value);
    return value;
}

bool apic_timer_runs(const LocalApic& apic) noexcept {
    const std::uint32_t timer = apic_register(apic, apic_lvt_timer);
    if ((timer & lvt_masked) != 0) return false;
    switch (timer >> 17 & 3) {
        case 0:
            return apic_register(apic, apic_timer_current) != 0;
        case 1:
            return apic_register(apic, apic_timer_initial) != 0;
        default:
            return apic.tsc_deadline != 0;
    }
}

bool apic_has_pending(const LocalApic& apic) noexcept {
    for (unsigned word = 0; word < 8; ++word) {
        if (apic_register(apic, apic_irr + 0x10 * word) != 0) return true;
    }
    return false;
}

bool pic_reaches(const LocalApic& apic) noexcept {
    if ((apic.base & apic_base_enabled) == 0) return true;
    const std::uint32_t lint0 = apic_register(apic, apic_lvt_lint0);
    return (lint0 & lvt_masked) == 0 && (lint0 & lvt_delivery) == lvt_delivery;
}

/// Its vectors begin at 0 only before it is initialised.
bool initialised(const kvm_pic_state& pic) noexcept { return pic.irq_base != 0; }

bool pic_may_raise(const InterruptSources& sources, std::uint32_t driven) noexcept {
    if (!pic_reaches(sources.apic) || !initialised(sources.master)) return false;
    const auto open = [](const kvm_pic_state& pic, std::uint32_t lines) {
        return ((lines | pic.irr) & ~std::uint32_t{pic.imr} & 0xff) != 0;
    };
    const std::uint32_t own = driven & ~(1u << cascade);
    if (open(sources.master, own)) return true;
    const bool cascade_open = (sources.master.imr >> cascade & 1) == 0;
    return cascade_open && initialised(sources.slave) && open(sources.slave, driven >> pic_inputs_each);
}

bool ioapic_may_raise(const InterruptSources& sources, std::uint32_t driven) noexcept {
    for (unsigned pin = 0; pin < std::size(sources.ioapic.redirtbl); ++pin) {
        // Line 0 is at input 2, and nothing at input 0.
        if (pin == 0 || sources.ioapic.redirtbl[pin].fields.mask != 0) continue;
        const unsigned gsi = pin == 2 ? 0 : pin;
        if ((driven >> gsi & 1) != 0 || (sources.ioapic.irr >> pin & 1) != 0) return true;
    }
    return false;
}

}  // namespace

bool interrupt_may_come(const InterruptSources& sources) noexcept {
    if (sources.messages || apic_has_pending(sources.apic) || apic_timer_runs(sources.apic)) return true;
    const std::uint32_t driven = sources.driven | (sources.pit_mode != pit_off ? 1u : 0u);
    return pic_may_raise(sources, driven) || ioapic_may_raise(sources, driven);
}

LocalApic read_local_apic(const Fd& cpu) {
    LocalApic apic;
    if (cpu.control(KVM_GET_LAPIC, &apic.registers) != 0) ioctl_failed("KVM_GET_LAPIC");
    kvm_sregs sregs{};
    if (cpu.control(KVM_GET_SREGS, &sregs) != 0) ioctl_failed("KVM_GET_SREGS");
    apic.base = sregs.apic_base;
    kvm_msr_entry deadline{};
    deadline.index = tsc_deadline_msr;
    const SizedList<CountFlagsHeader, kvm_msr_entry> list{std::span<const kvm_msr_entry>(&deadline, 1)};
    if (cpu.control(get_one_msr, list.header()) == 1) apic.tsc_deadline = list.entries()[0].data;
    return apic;
}

}  // namespace asyncvm::kvm
