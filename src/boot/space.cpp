#include "boot/space.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::boot {

namespace {

/// Where a range of `size` bytes, not 0, from `first` on ends, or nothing if it passes the last address.
std::optional<std::uint64_t> last_of(std::uint64_t first, std::uint64_t size) noexcept {
    if (size - 1 > ~std::uint64_t{0} - first) return std::nullopt;
    return first + (size - 1);
}

/// More memory grows up to 3 GiB, and from 4 GiB on.
bool memory_can_reach(std::uint64_t first, std::optional<std::uint64_t> last) noexcept {
    constexpr std::uint64_t gib = 1 << 30;
    return last && (*last < 3 * gib || (first >= 4 * gib && *last < 1024 * gib));
}

}  // namespace

Space::Space(std::span<const MemoryRange> map, std::span<const Piece> tables) {
    for (const MemoryRange& range : map) {
        if (range.kind != MemoryKind::ram || range.size == 0) continue;
        const std::uint64_t last = range.address + (range.size - 1);
        if (!ram_.empty() && ram_.back().last + 1 == range.address) {
            ram_.back().last = last;
        } else {
            ram_.push_back({range.address, last, {}});
        }
    }
    for (const Piece& table : tables) {
        if (table.size != 0) taken_.push_back({table.address, table.address + (table.size - 1), table.name});
    }
    std::ranges::sort(taken_, {}, &Extent::first);
}

bool Space::is_ram(std::uint64_t address, std::uint64_t size) const noexcept {
    if (size == 0) return true;
    const auto last = last_of(address, size);
    return last && std::ranges::any_of(ram_, [&](const Extent& ram) { return address >= ram.first && *last <= ram.last; });
}

std::string Space::occupant(std::uint64_t address, std::uint64_t size) const {
    if (size == 0) return {};
    const std::uint64_t last = last_of(address, size).value_or(~std::uint64_t{0});
    const auto found =
        std::ranges::find_if(taken_, [&](const Extent& extent) { return extent.first <= last && address <= extent.last; });
    return found == taken_.end() ? std::string() : found->name;
}

void Space::take(const std::string& name, std::uint64_t address, std::uint64_t size) {
    if (size == 0) return;
    if (!is_ram(address, size)) {
        std::string ram;
        for (const Extent& extent : ram_) {
            ram += fmt::format("{}{:#x} to {:#x}", ram.empty() ? "" : ", ", extent.first, extent.last);
        }
        const bool more_helps =
            (ram_.empty() || address >= ram_.back().first) && memory_can_reach(address, last_of(address, size));
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} needs {} bytes at {:#x}, which is not all RAM (the guest has RAM from {}: {})", name, size,
                                address, ram,
                                more_helps ? "raise --memory"
                                           : "link it so that its physical addresses, p_paddr in ELF, are there"));
    }
    if (const auto other = occupant(address, size); !other.empty()) {
        throw Error(ErrorKind::guest_image,
                    fmt::format("{} needs the {} bytes from {:#x} on, where {} is", name, size, address, other));
    }
    const auto place = std::ranges::upper_bound(taken_, address, {}, &Extent::first);
    taken_.insert(place, {address, address + (size - 1), name});
}

std::optional<std::uint64_t> Space::find(const Wish& wish) const {
    if (wish.size == 0) return wish.lowest;
    const std::uint64_t mask = wish.alignment - 1;
    std::optional<std::uint64_t> best;
    // Each free gap: between two neighbours in the list of what is taken, cut to one extent of RAM.
    const auto look = [&](std::uint64_t first, std::uint64_t last) {
        first = std::max(first, wish.lowest);
        last = std::min(last, wish.last);
        if (first > ~mask) return;
        const std::uint64_t low = (first + mask) & ~mask;
        if (low > last || last - low < wish.size - 1) return;
        const std::uint64_t at = wish.from_top ? (last - (wish.size - 1)) & ~mask : low;
        if (!best || (wish.from_top ? at > *best : at < *best)) best = at;
    };
    for (const Extent& ram : ram_) {
        std::uint64_t first = ram.first;
        bool open = true;
        for (const Extent& extent : taken_) {
            if (extent.last < first) continue;
            if (extent.first > ram.last) break;
            if (extent.first > first) look(first, extent.first - 1);
            if (extent.last >= ram.last) {
                open = false;
                break;
            }
            first = extent.last + 1;
        }
        if (open) look(first, ram.last);
    }
    return best;
}

std::uint64_t Space::place(const std::string& name, const Wish& wish) {
    const auto at = find(wish);
    if (!at) {
        throw Error(ErrorKind::guest_image,
                    fmt::format("there is no room for {}, which needs {} bytes between {:#x} and {:#x} "
                                "(raise --memory)",
                                name, wish.size, wish.lowest, wish.last));
    }
    take(name, *at, wish.size);
    return *at;
}

}  // namespace asyncvm::boot
