#include "gdb/breakpoints.hpp"

#include <algorithm>
#include <bit>

namespace asyncvm::gdb {

namespace {

constexpr unsigned slots = 4;
constexpr std::uint64_t longest_watched = 4096;  ///< bytes, step by step

// DR7 (Intel SDM vol. 3, 18.2.4): enable bits, then 4 bits for each register that say what it is for.
constexpr std::uint64_t dr7_write = 0b01;
constexpr std::uint64_t dr7_access = 0b11;

std::uint64_t dr7_bits(const Breakpoints::Point& point) {
    std::uint64_t kind = 0;
    if (Breakpoints::of_data(point.type)) {
        constexpr std::uint64_t length_bits[] = {0b00, 0b01, 0b11, 0b10};  // of 1, 2, 4 and 8 bytes
        const auto length = length_bits[static_cast<std::size_t>(std::countr_zero(point.length))];
        kind = length << 2 | (point.type == Breakpoints::Type::write ? dr7_write : dr7_access);
    }
    return std::uint64_t{2} << (2 * point.slot) | kind << (16 + 4 * point.slot);
}

bool fits_register(std::uint64_t address, std::uint64_t length) {
    return std::has_single_bit(length) && length <= 8 && address % length == 0;
}

}  // namespace

std::optional<unsigned> Breakpoints::free_slot() const noexcept {
    for (unsigned slot = 0; slot < slots; ++slot) {
        if (in_slot(slot) == nullptr) return slot;
    }
    return std::nullopt;
}

const Breakpoints::Point* Breakpoints::in_slot(unsigned slot) const noexcept {
    const auto found = std::ranges::find_if(
        points_, [slot](const Point& point) { return point.means == Means::debug_register && point.slot == slot; });
    return found == points_.end() ? nullptr : &*found;
}

const Breakpoints::Point* Breakpoints::at(std::uint64_t address, Means means) const noexcept {
    const auto found = std::ranges::find_if(points_, [address, means](const Point& point) {
        return point.address == address && point.means == means && !of_data(point.type);
    });
    return found == points_.end() ? nullptr : &*found;
}

std::optional<Breakpoints::Means> Breakpoints::means_for(Type type, std::uint64_t address, std::uint64_t length,
                                                         bool mapped) const noexcept {
    const bool slot = free_slot().has_value();
    const auto by_steps = features_.steps ? std::optional(Means::steps) : std::nullopt;
    switch (type) {
        case Type::software:
            if (features_.int3 && mapped) return Means::int3;
            [[fallthrough]];
        case Type::hardware:
            if (features_.debug_registers && slot) return Means::debug_register;
            return by_steps;
        case Type::write:
            if (features_.watchpoints && slot && fits_register(address, length)) return Means::debug_register;
            return mapped && length <= longest_watched ? by_steps : std::nullopt;
        case Type::access:
            if (features_.watchpoints && slot && fits_register(address, length)) return Means::debug_register;
            return std::nullopt;
        case Type::read:
            break;  // x86 has none, and a step does not tell
    }
    return std::nullopt;
}

std::optional<Breakpoints::Means> Breakpoints::add(Type type, std::uint64_t address, std::uint64_t length,
                                                   std::optional<std::uint64_t> physical) {
    if (!of_data(type)) length = 1;
    const auto same = [&](const Point& point) {
        return point.type == type && point.address == address && point.length == length;
    };
    if (const auto found = std::ranges::find_if(points_, same); found != points_.end()) return found->means;
    const auto means = means_for(type, address, length, physical.has_value());
    if (!means || length == 0) return std::nullopt;
    points_.push_back(
        {type, address, length, *means, *means == Means::debug_register ? *free_slot() : 0, physical.value_or(0)});
    return means;
}

void Breakpoints::remove(Type type, std::uint64_t address, std::uint64_t length) {
    if (!of_data(type)) length = 1;
    std::erase_if(points_, [&](const Point& point) {
        return point.type == type && point.address == address && point.length == length;
    });
}

bool Breakpoints::need_steps() const noexcept {
    return std::ranges::find(points_, Means::steps, &Point::means) != points_.end();
}

GuestDebug Breakpoints::debug() const noexcept {
    GuestDebug debug;
    debug.single_step = need_steps();
    for (const Point& point : points_) {
        if (point.means == Means::int3) debug.software_breakpoints = true;
        if (point.means != Means::debug_register) continue;
        debug.breakpoints[point.slot] = point.address;
        debug.dr7 |= dr7_bits(point);
    }
    return debug;
}

}  // namespace asyncvm::gdb
