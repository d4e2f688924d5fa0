/// The ranges of a machine's two buses, numbered.
#pragma once

#include <asyncvm/bus.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace asyncvm::stats {

/// Does not change after it is made. In each address space, all addresses without a device are one more place.
class Places {
public:
    struct Place {
        Space space = Space::port;
        AddressRange range;
        std::string device;
    };

    /// As Bus::ranges() returns them: in the order of their addresses.
    Places(const std::vector<AttachedRange>& ports, const std::vector<AttachedRange>& memory);

    [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }
    [[nodiscard]] const Place& operator[](std::size_t index) const noexcept { return places_[index]; }

    /// Every address has one.
    [[nodiscard]] std::size_t find(Space space, std::uint64_t address) const noexcept;

private:
    std::vector<Place> places_;  ///< ports, no device's ports, memory, no device's memory
    std::size_t ports_ = 0;      ///< how many of them have a device and are ports
};

}  // namespace asyncvm::stats
