/// The interrupt controllers that the kernel keeps for a machine.
#pragma once

#include <asyncvm/interrupt_controller.hpp>
#include <asyncvm/interrupt_state.hpp>

#include <linux/kvm.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <vector>

#include "accel/kvm/fd.hpp"
#include "accel/kvm/wake.hpp"

namespace asyncvm::kvm {

/// What each GSI leads to when nothing has been changed: 0 to 15 to a PIC and to the IOAPIC's input of the same number, 16
/// to 23 to the IOAPIC alone. As on a PC, 0 is the IOAPIC's input 2, unlike the kernel's own routes. KVM_SET_GSI_ROUTING
/// replaces all routes, so all are repeated. Pure.
[[nodiscard]] std::vector<kvm_irq_routing_entry> default_routes();

/// Makes `gsi` an MSI in `routes`, in place of whatever it was. Pure.
void set_msi_route(std::vector<kvm_irq_routing_entry>& routes, unsigned gsi, const MsiMessage& message);

/// Two 8259A, an IOAPIC, and a local APIC for each vCPU that is made afterwards.
class KvmIrqchip final : public InterruptController {
public:
    /// Makes them, and with `pit` an 8254. `vm` must outlive the object. Throws Error(host).
    KvmIrqchip(const Fd& vm, bool pit);

    [[nodiscard]] bool has_pit() const noexcept { return pit_; }

    /// Whether anything may interrupt a vCPU that sleeps with interrupts on and has this local APIC. Any thread. Throws
    /// Error(host).
    [[nodiscard]] bool may_interrupt(const LocalApic& apic) const;

    /// Without a local APIC. Any thread. Throws Error(host).
    [[nodiscard]] InterruptState state() const;

    void connect(unsigned gsi) noexcept override;
    void expect_messages() noexcept override { messages_.store(true); }
    void set(unsigned gsi, bool level) noexcept override;
    bool signal(const MsiMessage& message) noexcept override;
    void attach_irqfd(unsigned gsi, int eventfd, int resample_fd) override;
    void detach_irqfd(unsigned gsi, int eventfd) noexcept override;
    void route(unsigned gsi, const MsiMessage& message) override;

private:
    /// `chip` as KVM_GET_IRQCHIP numbers them.
    [[nodiscard]] kvm_irqchip read_chip(unsigned chip) const;
    /// The PICs as a PC's BIOS leaves them, which code for real mode may take for granted: vectors from 8 and from 0x70 on.
    /// The inputs of a PC's own devices are masked.
    void set_bios_vectors() const;
    void set_routes(const std::vector<kvm_irq_routing_entry>& routes) const;

    const Fd& vm_;
    std::atomic<std::uint32_t> driven_ = 0;  ///< lines that a device may drive, a bit each
    std::atomic<bool> messages_ = false;     ///< a device may send messages
    const bool pit_;
    std::mutex mutex_;  ///< of routes_, and so that a later table does not reach the kernel before an earlier one
    std::vector<kvm_irq_routing_entry> routes_ = default_routes();
};

}  // namespace asyncvm::kvm
