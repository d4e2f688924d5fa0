#include "stats/places.hpp"

#include <algorithm>
#include <iterator>

namespace asyncvm::stats {

namespace {

void append(std::vector<Places::Place>& places, Space space, const std::vector<AttachedRange>& ranges) {
    for (const auto& attached : ranges) places.push_back({space, attached.range, std::string(attached.device)});
    const std::uint64_t all = space == Space::port ? 0x1'0000 : ~std::uint64_t{0};
    places.push_back({space, {.first = 0, .size = all}, {}});
}

}  // namespace

Places::Places(const std::vector<AttachedRange>& ports, const std::vector<AttachedRange>& memory) : ports_(ports.size()) {
    append(places_, Space::port, ports);
    append(places_, Space::memory, memory);
}

std::size_t Places::find(Space space, std::uint64_t address) const noexcept {
    const std::size_t first = space == Space::port ? 0 : ports_ + 1;
    const std::size_t absent = space == Space::port ? ports_ : places_.size() - 1;
    const auto begin = places_.begin() + static_cast<std::ptrdiff_t>(first);
    const auto end = places_.begin() + static_cast<std::ptrdiff_t>(absent);
    const auto after =
        std::ranges::upper_bound(begin, end, address, {}, [](const Place& place) { return place.range.first; });
    if (after == begin) return absent;
    const auto found = std::prev(after);
    if (address - found->range.first >= found->range.size) return absent;
    return static_cast<std::size_t>(found - places_.begin());
}

}  // namespace asyncvm::stats
