/// The ranges of a machine's two buses, numbered.
#pragma once

#include <asyncvm/bus.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/moving_place.hpp"

namespace asyncvm::stats {

/// In each address space, all addresses without a device are one more place.
class Places {
public:
    struct Place {
        Space space = Space::port;
        AddressRange standing;                      ///< without `moving`
        std::shared_ptr<const MovingPlace> moving;  ///< where it is, of a range that the guest moves
        std::uint64_t size = 0;
        std::string device;

        /// As it is now. A movable range that is nowhere: where it was last; its size is 0 if it has never been anywhere.
        [[nodiscard]] AddressRange range() const noexcept;
    };

    /// As IoBus::standing_ranges() returns them: in the order of their addresses.
    Places(const std::vector<AttachedRange>& ports, const std::vector<AttachedRange>& memory);

    /// A range of `size` bytes that the guest moves. Where it overlaps one that stands, or one that was added before, the
    /// address is theirs. Nothing is added after the first find().
    void add(Space space, std::shared_ptr<const MovingPlace> place, std::uint64_t size, std::string_view device);

    [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
    [[nodiscard]] const Place& operator[](std::size_t index) const noexcept { return places_[index]; }

    /// Every address has one. Any thread.
    [[nodiscard]] std::size_t find(Space space, std::uint64_t address) const noexcept;

private:
    /// Where those of an address space begin: what stands, what moves, and the place of all other addresses.
    struct Part {
        std::size_t standing = 0;
        std::size_t moving = 0;
        std::size_t other = 0;
    };
    [[nodiscard]] Part append(Space space, const std::vector<AttachedRange>& ranges);

    std::vector<Place> places_;
    Part ports_;
    Part memory_;
};

}  // namespace asyncvm::stats
