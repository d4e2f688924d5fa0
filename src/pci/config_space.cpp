#include "pci/config_space.hpp"

#include <algorithm>

namespace asyncvm::pci {

ConfigSpace::ConfigSpace(const Identity& identity) {
    set(vendor_id, 4, std::uint32_t{identity.device} << 16 | identity.vendor);
    set(class_revision, 4, identity.class_code << 8 | identity.revision);
    set(subsystem_vendor_id, 4, std::uint32_t{identity.subsystem} << 16 | identity.subsystem_vendor);
    constexpr std::uint16_t commands = memory_space | bus_master | interrupt_disable;
    writable_[command] = static_cast<std::byte>(commands & 0xff);
    writable_[command + 1] = static_cast<std::byte>(commands >> 8);
}

void ConfigSpace::add_memory_bar(unsigned index, std::uint32_t bytes) {
    const unsigned offset = first_bar + 4 * index;
    const std::uint32_t mask = ~(bytes - 1);
    for (unsigned byte = 0; byte < 4; ++byte) writable_[offset + byte] = static_cast<std::byte>(mask >> (8 * byte));
}

void ConfigSpace::add_interrupt(std::uint8_t line) {
    constexpr std::uint32_t pin_a = 1;
    set(interrupt_line, 1, line);
    set(interrupt_pin, 1, pin_a);
    writable_[interrupt_line] = std::byte{0xff};
}

unsigned ConfigSpace::add_capability(std::uint8_t id, std::span<const std::byte> body, std::span<const std::byte> writable) {
    constexpr unsigned header = 2;
    const unsigned offset = capabilities_end_;
    if (last_capability_ == 0) {
        set(capabilities_pointer, 1, offset);
        set(status, 2, read(status, 2) | has_capabilities);
    } else {
        set(last_capability_ + 1, 1, offset);
    }
    set(offset, 1, id);
    std::ranges::copy(body, bytes_.begin() + offset + header);
    std::ranges::copy(writable, writable_.begin() + offset + header);
    last_capability_ = offset;
    capabilities_end_ = (offset + header + static_cast<unsigned>(body.size()) + 3) & ~3u;
    return offset;
}

std::uint32_t ConfigSpace::read(unsigned offset, unsigned bytes) const noexcept {
    std::uint32_t value = 0;
    for (unsigned byte = 0; byte < bytes; ++byte) {
        value |= std::to_integer<std::uint32_t>(bytes_[offset + byte]) << (8 * byte);
    }
    return value;
}

void ConfigSpace::write(unsigned offset, unsigned bytes, std::uint32_t value) noexcept {
    for (unsigned byte = 0; byte < bytes; ++byte) {
        const std::byte mask = writable_[offset + byte];
        std::byte& to = bytes_[offset + byte];
        to = (to & ~mask) | (static_cast<std::byte>(value >> (8 * byte)) & mask);
    }
}

void ConfigSpace::set(unsigned offset, unsigned bytes, std::uint32_t value) noexcept {
    for (unsigned byte = 0; byte < bytes; ++byte) bytes_[offset + byte] = static_cast<std::byte>(value >> (8 * byte));
}

void ConfigSpace::show_interrupt(bool pending) noexcept {
    const std::uint32_t others = read(status, 2) & ~std::uint32_t{interrupt_status};
    set(status, 2, others | (pending ? interrupt_status : 0u));
}

std::optional<std::uint64_t> ConfigSpace::bar(unsigned index) const noexcept {
    const unsigned offset = first_bar + 4 * index;
    const bool exists = writable_[offset + 3] != std::byte{0};
    if (!exists || (read(command, 2) & memory_space) == 0) return std::nullopt;
    return read(offset, 4);
}

void ConfigSpace::adopt(const ConfigSpace& own) noexcept {
    writable_ = own.writable_;
    last_capability_ = own.last_capability_;
    capabilities_end_ = own.capabilities_end_;
    for (unsigned offset = 0; offset < size; ++offset) {
        const std::byte mask = writable_[offset];
        bytes_[offset] = (bytes_[offset] & mask) | (own.bytes_[offset] & ~mask);
    }
}

}  // namespace asyncvm::pci
