#include "accel/unicorn/joiner.hpp"

#include <algorithm>
#include <cstring>

namespace asyncvm::unicorn {

bool Joiner::is_piece(Direction direction, std::uint64_t address, unsigned size) const noexcept {
    if (!active_ || direction != direction_ || address_ % size_ == 0) return false;
    if (direction == Direction::write) return size == 1 && address - address_ < size_;
    const std::uint64_t first = address_ - address_ % size_;
    return size == size_ && (address == first || address == first + size_);
}

void Joiner::begin(Direction direction, std::uint64_t address, unsigned size, std::uint64_t value) noexcept {
    if (is_piece(direction, address, size)) return;
    active_ = true;
    direction_ = direction;
    address_ = address;
    size_ = std::clamp(size, 1u, 8u);
    done_ = {};
    std::memcpy(data_.data(), &value, sizeof value);
}

Joiner::Part Joiner::part_for(std::uint64_t address) noexcept {
    const std::uint64_t boundary = (address_ / page + 1) * page;
    const unsigned in_first = static_cast<unsigned>(std::min<std::uint64_t>(size_, boundary - address_));
    const bool second = address >= boundary;
    if (done_[second ? 1 : 0]) return {};
    done_[second ? 1 : 0] = true;
    return second ? Part{boundary, in_first, size_ - in_first} : Part{address_, 0, in_first};
}

std::uint64_t Joiner::piece(std::uint64_t address, unsigned size) const noexcept {
    std::uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i) {
        const std::uint64_t index = address + i - address_;
        if (index < size_) value |= std::to_integer<std::uint64_t>(data_[index]) << (8 * i);
    }
    return value;
}

}  // namespace asyncvm::unicorn
