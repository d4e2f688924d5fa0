#include "accel/kvm/coalesced_ring.hpp"

#include <utility>

namespace asyncvm::kvm {

namespace {

kvm_coalesced_mmio_zone to_kvm(const CoalescedZone& zone) {
    kvm_coalesced_mmio_zone description{};
    description.addr = zone.address;
    description.size = zone.size;
    description.pio = zone.space == Space::port ? 1 : 0;
    return description;
}

}  // namespace

std::unique_ptr<KvmCoalescedRing> KvmCoalescedRing::make(const Fd& vm, const Fd& cpu) {
    const int page = vm.control(KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_MMIO);
    if (page <= 0) return nullptr;
    const bool ports = vm.control(KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) > 0;
    const auto offset = static_cast<std::size_t>(page) * CoalescedRingPage::size;
    auto mapping = std::make_unique<Mapping>(cpu, CoalescedRingPage::size, offset);
    if (mapping->get() == nullptr) return nullptr;
    return std::make_unique<KvmCoalescedRing>(vm, std::move(mapping), ports);
}

KvmCoalescedRing::KvmCoalescedRing(const Fd& vm, std::unique_ptr<Mapping> mapping, bool ports)
    : vm_(vm),
      ports_(ports),
      mapping_(std::move(mapping)),
      reader_(*reinterpret_cast<CoalescedRingPage*>(mapping_->get())) {}

bool KvmCoalescedRing::collect(const CoalescedZone& zone) noexcept {
    if (zone.space == Space::port && !ports_) return false;
    auto description = to_kvm(zone);
    return vm_.control(KVM_REGISTER_COALESCED_MMIO, &description) == 0;
}

void KvmCoalescedRing::leave(const CoalescedZone& zone) noexcept {
    auto description = to_kvm(zone);
    vm_.control(KVM_UNREGISTER_COALESCED_MMIO, &description);
}

}  // namespace asyncvm::kvm
