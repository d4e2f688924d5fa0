/// What a bus knows of the ranges of its devices: those that stand, and those that the guest moves.
#pragma once

#include <asyncvm/bus.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "bus/coalesced_zones.hpp"
#include "bus/device_slot.hpp"
#include "bus/io_bus.hpp"
#include "bus/ioevent.hpp"
#include "bus/moving_place.hpp"

namespace asyncvm {

struct IoBus::Mapping {
    AddressRange range;
    std::shared_ptr<DeviceSlot> slot;
    std::vector<std::shared_ptr<IoEvent>> ioevents{};
    mutable BurstDetector burst{};  ///< any thread
    const MovingPlace* place{};     ///< of a movable range, in place of range.first

    [[nodiscard]] std::uint64_t first() const noexcept { return place != nullptr ? place->first() : range.first; }
};

class IoBus::Movable final : public MovableRange {
public:
    Movable(std::uint64_t size, std::shared_ptr<DeviceSlot> slot, std::vector<std::shared_ptr<IoEvent>> ioevents)
        : mapping({.range = {.size = size}, .slot = std::move(slot), .ioevents = std::move(ioevents), .place = &place_}) {}

    void move(std::optional<std::uint64_t> first) noexcept override {
        if (!attached_) return;
        place_.leave();
        for (const auto& ioevent : mapping.ioevents) ioevent->move(first);
        if (first) place_.arrive(*first);
    }

    /// The bus goes.
    void detach() noexcept {
        attached_ = false;
        mapping.ioevents.clear();
        mapping.slot.reset();
    }

    [[nodiscard]] const MovingPlace& place() const noexcept { return place_; }

private:
    MovingPlace place_;
    bool attached_ = true;

public:
    Mapping mapping;
};

}  // namespace asyncvm
