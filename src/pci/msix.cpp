#include "pci/msix.hpp"

#include <utility>

namespace asyncvm::pci {

namespace {

constexpr std::uint32_t part_of(std::uint32_t word, unsigned offset, unsigned bytes) noexcept {
    const std::uint32_t shifted = word >> (8 * (offset % 4));
    return bytes == 4 ? shifted : shifted & ((std::uint32_t{1} << (8 * bytes)) - 1);
}

}  // namespace

std::optional<MsiMessage> Msix::raise(unsigned vector) noexcept {
    if (!enabled() || vector >= entries_.size()) return std::nullopt;
    entries_[vector].pending = true;
    return deliver(entries_[vector]);
}

std::optional<MsiMessage> Msix::message(unsigned vector) const noexcept {
    if (vector >= entries_.size() || is_held(entries_[vector])) return std::nullopt;
    return MsiMessage{.address = entries_[vector].address, .data = entries_[vector].data};
}

bool Msix::is_held(const Entry& entry) const noexcept {
    return !enabled() || (control_ & mask_all) != 0 || (entry.vector_control & vector_masked) != 0;
}

std::optional<MsiMessage> Msix::deliver(Entry& entry) noexcept {
    if (is_held(entry) || !std::exchange(entry.pending, false)) return std::nullopt;
    return MsiMessage{.address = entry.address, .data = entry.data};
}

std::vector<MsiMessage> Msix::write_control(std::uint16_t control) {
    control_ = control & (enable | mask_all);
    std::vector<MsiMessage> messages;
    for (Entry& entry : entries_) {
        // What was pending when MSI-X was turned off is forgotten.
        if (!enabled()) entry.pending = false;
        if (const auto message = deliver(entry)) messages.push_back(*message);
    }
    return messages;
}

std::uint32_t Msix::read_table(unsigned offset, unsigned bytes) const noexcept {
    const unsigned vector = offset / entry_size;
    if (vector >= entries_.size()) return 0;
    const Entry& entry = entries_[vector];
    switch (offset % entry_size / 4) {
        case 0:
            return part_of(static_cast<std::uint32_t>(entry.address), offset, bytes);
        case 1:
            return part_of(static_cast<std::uint32_t>(entry.address >> 32), offset, bytes);
        case 2:
            return part_of(entry.data, offset, bytes);
        default:
            return part_of(entry.vector_control, offset, bytes);
    }
}

std::optional<MsiMessage> Msix::write_table(unsigned offset, unsigned bytes, std::uint32_t value) noexcept {
    const unsigned vector = offset / entry_size;
    if (bytes != 4 || vector >= entries_.size()) return std::nullopt;
    Entry& entry = entries_[vector];
    constexpr std::uint64_t low_half = 0xffff'ffff;
    constexpr std::uint32_t reserved_address_bits = 3;
    switch (offset % entry_size / 4) {
        case 0:
            entry.address = (entry.address & ~low_half) | (value & ~reserved_address_bits);
            break;
        case 1:
            entry.address = (entry.address & low_half) | std::uint64_t{value} << 32;
            break;
        case 2:
            entry.data = value;
            break;
        default:
            entry.vector_control = value & vector_masked;
            break;
    }
    return deliver(entry);
}

std::uint32_t Msix::read_pending(unsigned offset, unsigned bytes) const noexcept {
    std::uint32_t word = 0;
    const unsigned first = offset / 4 * 32;
    for (unsigned bit = 0; bit < 32 && first + bit < entries_.size(); ++bit) {
        if (entries_[first + bit].pending) word |= std::uint32_t{1} << bit;
    }
    return part_of(word, offset, bytes);
}

}  // namespace asyncvm::pci
