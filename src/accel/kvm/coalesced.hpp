/// KVM's coalesced MMIO and PIO: writes that are collected in a ring.
#pragma once

#include <asyncvm/posted_writes.hpp>

#include "accel/kvm/fd.hpp"

#include <linux/kvm.h>

#include <cstddef>
#include <memory>

namespace asyncvm::kvm {

/// The ring is one page that the kernel shows behind the shared page of each vCPU: the kernel moves `last`, we move `first`
/// (Linux, Documentation/virt/kvm/api.rst, 4.116 KVM_(UN)REGISTER_COALESCED_MMIO).
class CoalescedWrites final : public PostedWrites {
public:
    /// Null where the host has no such ring. `vm` must outlive the object; `cpu` is any of its vCPUs.
    [[nodiscard]] static std::unique_ptr<CoalescedWrites> make(const Fd& vm, const Fd& cpu);

    CoalescedWrites(const Fd& vm, const Fd& cpu, std::size_t offset, bool ports);

    [[nodiscard]] bool collect(const PostedZone& zone) noexcept override;
    void leave(const PostedZone& zone) noexcept override;
    [[nodiscard]] bool pending() const noexcept override;
    [[nodiscard]] std::size_t peek(std::span<PostedWrite> writes) const noexcept override;
    void release(std::size_t count) noexcept override;

private:
    const Fd& vm_;
    const bool ports_;
    Mapping mapping_;
    struct Ring;
    Ring* const ring_;
};

}  // namespace asyncvm::kvm
