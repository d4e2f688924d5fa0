/// Which parts of a guest's memory a plan has given away. Pure.
#pragma once

#include <asyncvm/memory_map.hpp>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "boot/plan.hpp"

namespace asyncvm::boot {

/// Places pieces without overlap in the RAM of a memory map.
class Space {
public:
    /// `tables` are there already, wherever they are.
    Space(std::span<const MemoryRange> map, std::span<const Piece> tables);

    /// Keeps [address, address + size) for `name`. Throws Error(guest_image) that names both if something else is there, and
    /// if it is not all RAM. A size of 0 is nothing.
    void take(const std::string& name, std::uint64_t address, std::uint64_t size);

    struct Wish {
        std::uint64_t size = 0;
        std::uint64_t alignment = 4096;    ///< a power of 2
        std::uint64_t lowest = 0x1000;     ///< the first address allowed
        std::uint64_t last = 0xffff'ffff;  ///< the last address that its last byte may have
        bool from_top = false;             ///< the highest place that is free, else the lowest
    };

    /// Finds a free place, without taking it.
    [[nodiscard]] std::optional<std::uint64_t> find(const Wish& wish) const;

    /// Finds one and takes it. Throws Error(guest_image) that names `name` and its size where there is none.
    [[nodiscard]] std::uint64_t place(const std::string& name, const Wish& wish);

    /// Whether all of it is RAM, taken or not.
    [[nodiscard]] bool is_ram(std::uint64_t address, std::uint64_t size) const noexcept;

    /// What is taken in [address, address + size), of several the lowest; empty: nothing.
    [[nodiscard]] std::string occupant(std::uint64_t address, std::uint64_t size) const;

private:
    struct Extent {
        std::uint64_t first;
        std::uint64_t last;  ///< inclusive: the end may be 2^64
        std::string name;
    };

    std::vector<Extent> ram_;    ///< by address; neighbours are merged
    std::vector<Extent> taken_;  ///< by address
};

}  // namespace asyncvm::boot
