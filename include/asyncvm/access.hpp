/// One access of a guest to one device: what the bus hands to Device::read and Device::write.
#pragma once

#include <asyncvm/cpp20.hpp>

#include <cstdint>

namespace asyncvm {

/// The two address spaces of an x86 guest.
enum class Space : std::uint8_t {
    port,    ///< IN and OUT: 0 to 0xffff
    memory,  ///< guest-physical memory that no RAM backs (MMIO)
};

struct Access {
    Space space = Space::port;
    std::uint8_t size = 1;      ///< bytes: 1, 2, 4, and in memory also 8; the bus splits everything else into bytes
    unsigned cpu = 0;           ///< the index of the vCPU
    std::uint64_t address = 0;  ///< absolute: the port's number or the guest-physical address
    std::uint64_t offset = 0;   ///< relative to the range that was attached to the bus
    std::uint64_t data = 0;     ///< little-endian, zero-extended; Device::read fills it, more bits than `size` are cut
};

/// What an absent device answers: `size` bytes of ones, zero-extended.
[[nodiscard]] constexpr std::uint64_t all_ones(unsigned size) noexcept {
    return size >= 8 ? ~std::uint64_t{0} : (std::uint64_t{1} << (8 * size)) - 1;
}

}  // namespace asyncvm
