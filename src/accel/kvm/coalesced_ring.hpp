/// KVM's coalesced MMIO and PIO: writes that are collected in a ring.
#pragma once

#include <asyncvm/coalesced_ring.hpp>

#include "accel/kvm/fd.hpp"

#include <linux/kvm.h>

#include <cstddef>
#include <memory>

namespace asyncvm::kvm {

/// The ring is one page that the kernel shows behind the shared page of each vCPU: the kernel moves `last`, we move `first`
/// (Linux, Documentation/virt/kvm/api.rst, 4.116 KVM_(UN)REGISTER_COALESCED_MMIO).
class KvmCoalescedRing final : public CoalescedRing {
public:
    /// Null where the host has no such ring. `vm` must outlive the object; `cpu` is any of its vCPUs.
    [[nodiscard]] static std::unique_ptr<KvmCoalescedRing> make(const Fd& vm, const Fd& cpu);

    KvmCoalescedRing(const Fd& vm, const Fd& cpu, std::size_t offset, bool ports);

    [[nodiscard]] bool collect(const CoalescedZone& zone) noexcept override;
    void leave(const CoalescedZone& zone) noexcept override;
    [[nodiscard]] bool pending() const noexcept override;
    [[nodiscard]] std::size_t peek(std::span<CoalescedWrite> writes) const noexcept override;
    void release(std::size_t count) noexcept override;

private:
    const Fd& vm_;
    const bool ports_;
    Mapping mapping_;
    struct Ring;
    Ring* const ring_;
};

}  // namespace asyncvm::kvm
