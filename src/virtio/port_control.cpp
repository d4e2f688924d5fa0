#include "virtio/port_control.hpp"

#include <algorithm>

namespace asyncvm::virtio {

PortControl::Message PortControl::parse(std::span<const std::byte, message_size> bytes) noexcept {
    const auto number = [&bytes](std::size_t at, unsigned size) {
        std::uint32_t value = 0;
        for (unsigned i = 0; i < size; ++i) value |= std::to_integer<std::uint32_t>(bytes[at + i]) << (8 * i);
        return value;
    };
    return {.port = number(0, 4),
            .event = static_cast<std::uint16_t>(number(4, 2)),
            .value = static_cast<std::uint16_t>(number(6, 2))};
}

std::vector<std::byte> PortControl::bytes_of(const Message& message, const std::string& name) {
    std::vector<std::byte> bytes;
    const auto put = [&bytes](std::uint32_t value, unsigned size) {
        for (unsigned i = 0; i < size; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i)));
    };
    put(message.port, 4);
    put(message.event, 2);
    put(message.value, 2);
    if (message.event == port_name) {
        std::ranges::transform(name, std::back_inserter(bytes), [](char c) { return static_cast<std::byte>(c); });
    }
    return bytes;
}

void PortControl::heard(const Message& message) noexcept {
    if (message.event == device_ready) ready_ = message.value == 1;
    if (message.port < 1 || message.port > ports_.size()) return;
    Port& port = ports_[message.port - 1];
    if (message.event == port_ready) port.ready = message.value == 1;
    if (message.event == port_open) port.guest_open = message.value == 1;
}

std::optional<PortControl::Message> PortControl::next(const std::vector<bool>& connected) const noexcept {
    if (!ready_) return std::nullopt;
    for (std::size_t i = 0; i < ports_.size(); ++i) {
        const Port& port = ports_[i];
        const auto number = static_cast<std::uint32_t>(i + 1);
        if (!port.added) return Message{.port = number, .event = port_add, .value = 1};
        if (!port.ready) continue;
        if (!port.named) return Message{.port = number, .event = port_name, .value = 1};
        if (port.open != connected[i]) return Message{.port = number, .event = port_open, .value = connected[i]};
    }
    return std::nullopt;
}

void PortControl::told(const Message& message) noexcept {
    Port& port = ports_[message.port - 1];
    if (message.event == port_add) port.added = true;
    if (message.event == port_name) port.named = true;
    if (message.event == port_open) port.open = message.value == 1;
}

}  // namespace asyncvm::virtio
