/// KVM's coalesced MMIO and PIO: writes that are collected in a ring.
#pragma once

#include <asyncvm/coalesced_ring.hpp>

#include "accel/kvm/coalesced_ring_reader.hpp"
#include "accel/kvm/fd.hpp"

#include <linux/kvm.h>

#include <cstddef>
#include <memory>
#include <span>

namespace asyncvm::kvm {

/// The ring is one page that the kernel maps behind the shared page of each vCPU (Linux,
/// Documentation/virt/kvm/api.rst, 4.116 KVM_(UN)REGISTER_COALESCED_MMIO).
class KvmCoalescedRing final : public CoalescedRing {
public:
    /// Null where the host has no such ring. `vm` must outlive the object; `cpu` is any of its vCPUs.
    [[nodiscard]] static std::unique_ptr<KvmCoalescedRing> make(const Fd& vm, const Fd& cpu);

    /// `mapping` is the page. `ports`: the host collects writes to ports, too.
    KvmCoalescedRing(const Fd& vm, std::unique_ptr<Mapping> mapping, bool ports);

    [[nodiscard]] bool collect(const CoalescedZone& zone) noexcept override;
    void leave(const CoalescedZone& zone) noexcept override;
    [[nodiscard]] bool pending() const noexcept override { return reader_.pending(); }
    [[nodiscard]] std::size_t peek(std::span<CoalescedWrite> writes) const noexcept override { return reader_.peek(writes); }
    void release(std::size_t count) noexcept override { reader_.release(count); }

private:
    const Fd& vm_;
    const bool ports_;
    const std::unique_ptr<Mapping> mapping_;
    CoalescedRingReader reader_;
};

}  // namespace asyncvm::kvm
