/// The interrupt controllers that the kernel keeps for a machine.
#pragma once

#include <asyncvm/interrupt_controller.hpp>

#include <linux/kvm.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "accel/kvm/fd.hpp"

namespace asyncvm::kvm {

/// What each GSI leads to when nothing has been changed: 0 to 15 to a PIC and to the IOAPIC's input of the same number, 16
/// to 23 to the IOAPIC alone. As the kernel has it; KVM_SET_GSI_ROUTING replaces all of it, so it has to be repeated. Pure.
[[nodiscard]] std::vector<kvm_irq_routing_entry> default_routes();

/// Makes `gsi` an MSI in `routes`, in place of whatever it was. Pure.
void set_msi_route(std::vector<kvm_irq_routing_entry>& routes, unsigned gsi, const MsiMessage& message);

/// Two 8259A, an IOAPIC, and a local APIC for each vCPU that is made afterwards.
class KvmIrqchip final : public InterruptController {
public:
    /// Makes them, and with `pit` an 8254. `vm` must outlive the object. Throws Error(host).
    KvmIrqchip(const Fd& vm, bool pit);

    [[nodiscard]] bool has_pit() const noexcept { return pit_; }

    void set(unsigned gsi, bool level) noexcept override;
    bool signal(const MsiMessage& message) noexcept override;
    void attach_irqfd(unsigned gsi, int eventfd, int resample_fd) override;
    void detach_irqfd(unsigned gsi, int eventfd) noexcept override;
    void route(unsigned gsi, const MsiMessage& message) override;

private:
    const Fd& vm_;
    const bool pit_;
    std::mutex mutex_;  ///< of routes_, and so that a later table does not reach the kernel before an earlier one
    std::vector<kvm_irq_routing_entry> routes_ = default_routes();
};

}  // namespace asyncvm::kvm
