#include "vhost/rings.hpp"

#include <algorithm>

namespace asyncvm::vhost {

namespace {

// The layout of a split ring (virtio 1.2, 2.7).
constexpr std::uint64_t descriptor_size = 16;
constexpr std::uint64_t index_place = 2;
constexpr std::uint64_t ring_place = 4;
constexpr std::uint64_t available_entry = 2;
constexpr std::uint64_t used_entry = 8;

std::uint64_t user_address(const GuestMemory& memory, std::uint64_t address, std::uint64_t size) {
    return reinterpret_cast<std::uintptr_t>(memory.try_at(address, size).data());
}

}  // namespace

std::vector<MemoryRegion> shared_regions(const GuestMemory& memory) {
    std::vector<MemoryRegion> regions;
    for (const GuestMemory::Region& region : memory.regions()) {
        if (region.fd < 0 || regions.size() == most_regions) continue;
        regions.push_back({.guest_address = region.address,
                           .size = region.bytes.size(),
                           .user_address = reinterpret_cast<std::uintptr_t>(region.bytes.data()),
                           .offset = region.offset,
                           .descriptor = region.fd});
    }
    return regions;
}

std::optional<RingAddresses> addresses_of(const GuestMemory& memory, const virtio::RingSetup& ring) {
    const RingAddresses addresses{
        .descriptors = user_address(memory, ring.descriptors, descriptor_size * ring.size),
        .used = user_address(memory, ring.used, ring_place + used_entry * ring.size),
        .available = user_address(memory, ring.available, ring_place + available_entry * ring.size)};
    if (addresses.descriptors == 0 || addresses.used == 0 || addresses.available == 0) return std::nullopt;
    return addresses;
}

std::optional<std::uint16_t> position_after_death(const GuestMemory& memory, const virtio::RingSetup& ring,
                                                  bool has_record) {
    const auto used = memory.load_acquire<std::uint16_t>(ring.used + index_place);
    const auto available = memory.load_acquire<std::uint16_t>(ring.available + index_place);
    if (!used || !available || ring.size == 0) return std::nullopt;
    const auto under_way = static_cast<std::uint16_t>(*available - *used);
    if (has_record || under_way == 0) return used;
    if (under_way > ring.size) return std::nullopt;
    // As far back as both rings show it.
    const auto known = std::min<unsigned>(*used, ring.size - under_way);
    for (unsigned back = 1; back <= known; ++back) {
        const std::uint64_t place = static_cast<std::uint16_t>(*used - back) % ring.size;
        const auto given = memory.load_acquire<std::uint16_t>(ring.available + ring_place + available_entry * place);
        const auto returned = memory.load_acquire<std::uint32_t>(ring.used + ring_place + used_entry * place);
        if (!given || !returned || *returned != *given) return std::nullopt;
    }
    return used;
}

}  // namespace asyncvm::vhost
