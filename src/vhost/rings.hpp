/// What a back end has to be told of the guest's memory, and of a ring in it. Pure.
#pragma once

#include <asyncvm/guest_memory.hpp>
#include <asyncvm/virtio.hpp>

#include <cstdint>
#include <optional>
#include <vector>

#include "vhost/message.hpp"

namespace asyncvm::vhost {

/// All of the memory that another process can map. Empty if that is none: the memory is not shared.
[[nodiscard]] std::vector<MemoryRegion> shared_regions(const GuestMemory& memory);

/// Nothing: a part of the ring is not in the guest's memory.
[[nodiscard]] std::optional<RingAddresses> addresses_of(const GuestMemory& memory, const virtio::RingSetup& ring);

/// The index in the available ring at which a back end goes on after one that has died. `has_record`: it knows which
/// requests were under way (InflightArea).
///
/// That is the used index if the dead one gave requests back in the order in which it got them: then the requests of behind
/// that index were under way, and are done again. Nothing: the rings show another order. Which requests were under way is
/// then not known, and one that is done again after its end would damage the driver's memory.
[[nodiscard]] std::optional<std::uint16_t> position_after_death(const GuestMemory& memory, const virtio::RingSetup& ring,
                                                                bool has_record);

}  // namespace asyncvm::vhost
