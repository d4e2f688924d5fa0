#include "stats/places.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace asyncvm::stats {

AddressRange Places::Place::range() const noexcept {
    if (!moving) return standing;
    const auto first = moving->last();
    return first ? AddressRange{.first = *first, .size = size} : AddressRange{.first = 0, .size = 0};
}

Places::Places(const std::vector<AttachedRange>& ports, const std::vector<AttachedRange>& memory)
    : ports_(append(Space::port, ports)), memory_(append(Space::memory, memory)) {}

Places::Part Places::append(Space space, const std::vector<AttachedRange>& ranges) {
    const auto add = [this, space](AddressRange range, std::string_view device) {
        places_.push_back(
            {.space = space, .standing = range, .moving = {}, .size = range.size, .device = std::string(device)});
    };
    const std::size_t first = places_.size();
    for (const auto& attached : ranges) add(attached.range, attached.device);
    add({.first = 0, .size = space == Space::port ? 0x1'0000 : ~std::uint64_t{0}}, {});
    return {.standing = first, .moving = places_.size() - 1, .other = places_.size() - 1};
}

void Places::add(Space space, std::shared_ptr<const MovingPlace> place, std::uint64_t size, std::string_view device) {
    Part& part = space == Space::port ? ports_ : memory_;
    places_.insert(
        places_.begin() + static_cast<std::ptrdiff_t>(part.other),
        {.space = space, .standing = {}, .moving = std::move(place), .size = size, .device = std::string(device)});
    ++part.other;
    if (space == Space::port) {
        for (auto* const begin : {&memory_.standing, &memory_.moving, &memory_.other}) ++*begin;
    }
}

std::size_t Places::find(Space space, std::uint64_t address) const noexcept {
    const Part& part = space == Space::port ? ports_ : memory_;
    const auto begin = places_.begin() + static_cast<std::ptrdiff_t>(part.standing);
    const auto end = places_.begin() + static_cast<std::ptrdiff_t>(part.moving);
    const auto after =
        std::ranges::upper_bound(begin, end, address, {}, [](const Place& place) { return place.standing.first; });
    if (after != begin) {
        const auto found = std::prev(after);
        if (address - found->standing.first < found->size) return static_cast<std::size_t>(found - places_.begin());
    }
    for (std::size_t index = part.moving; index < part.other; ++index) {
        if (address - places_[index].moving->first() < places_[index].size) return index;
    }
    return part.other;
}

}  // namespace asyncvm::stats
