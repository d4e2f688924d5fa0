#include "accel/kvm/coalesced_ring.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

namespace asyncvm::kvm {

namespace {

/// x86's, which is what the kernel divides by (KVM_COALESCED_MMIO_MAX).
constexpr std::size_t page_size = 4096;

kvm_coalesced_mmio_zone to_kvm(const CoalescedZone& zone) {
    kvm_coalesced_mmio_zone description{};
    description.addr = zone.address;
    description.size = zone.size;
    description.pio = zone.space == Space::port ? 1 : 0;
    return description;
}

}  // namespace

/// struct kvm_coalesced_mmio_ring; in C++ the kernel's header gives the array another place, because of its empty structure.
struct KvmCoalescedRing::Ring {
    static constexpr std::uint32_t entries = (page_size - 2 * sizeof(std::uint32_t)) / sizeof(kvm_coalesced_mmio);

    std::uint32_t first;  ///< of the writes that are here
    std::uint32_t last;   ///< behind the last one
    std::array<kvm_coalesced_mmio, entries> writes;
};

std::unique_ptr<KvmCoalescedRing> KvmCoalescedRing::make(const Fd& vm, const Fd& cpu) {
    const int page = vm.control(KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    if (page <= 0) return nullptr;
    const bool ports = vm.control(KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;
    auto writes = std::make_unique<KvmCoalescedRing>(vm, cpu, static_cast<std::size_t>(page) * page_size, ports);
    return writes->ring_ == nullptr ? nullptr : std::move(writes);
}

KvmCoalescedRing::KvmCoalescedRing(const Fd& vm, const Fd& cpu, std::size_t offset, bool ports)
    : vm_(vm), ports_(ports), mapping_(cpu, page_size, offset), ring_(reinterpret_cast<Ring*>(mapping_.get())) {}

bool KvmCoalescedRing::collect(const CoalescedZone& zone) noexcept {
    if (zone.space == Space::port && !ports_) return false;
    auto description = to_kvm(zone);
    return vm_.control(KVM_REGISTER_COALESCED_MMIO, &description) == 0;
}

void KvmCoalescedRing::leave(const CoalescedZone& zone) noexcept {
    auto description = to_kvm(zone);
    vm_.control(KVM_UNREGISTER_COALESCED_MMIO, &description);
}

bool KvmCoalescedRing::pending() const noexcept {
    return std::atomic_ref(ring_->first).load(std::memory_order_acquire) !=
           std::atomic_ref(ring_->last).load(std::memory_order_acquire);
}

std::size_t KvmCoalescedRing::peek(std::span<CoalescedWrite> writes) const noexcept {
    std::uint32_t at = std::atomic_ref(ring_->first).load(std::memory_order_relaxed);
    const std::uint32_t last = std::atomic_ref(ring_->last).load(std::memory_order_acquire);
    std::size_t count = 0;
    for (; at != last && count < writes.size(); at = (at + 1) % Ring::entries, ++count) {
        const kvm_coalesced_mmio& from = ring_->writes[at];
        CoalescedWrite& to = writes[count];
        to.space = from.pio != 0 ? Space::port : Space::memory;
        to.size = static_cast<std::uint8_t>(std::min<std::uint32_t>(from.len, sizeof to.data));
        to.address = from.phys_addr;
        to.data = 0;
        std::memcpy(&to.data, from.data, to.size);
    }
    return count;
}

void KvmCoalescedRing::release(std::size_t count) noexcept {
    const std::atomic_ref first(ring_->first);
    first.store(static_cast<std::uint32_t>((first.load(std::memory_order_relaxed) + count) % Ring::entries),
                std::memory_order_release);
}

}  // namespace asyncvm::kvm
