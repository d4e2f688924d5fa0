#include "virtio/mmio_registers.hpp"

namespace asyncvm::virtio {

std::uint32_t MmioRegisters::read(const DeviceState& state, std::uint32_t id, unsigned offset, unsigned size) noexcept {
    if (size != 4 || offset % 4 != 0) return 0;
    const DeviceState::QueueSetup* const queue = state.selected();
    switch (offset) {
        case magic:
            return magic_value;
        case version:
            return 2;
        case device_id:
            return id;
        case vendor_id:
            return vendor;
        case device_features:
            return state.offered();
        case queue_size_max:
            return queue != nullptr ? queue->largest : 0;
        case queue_ready:
            return queue != nullptr && queue->ready ? 1 : 0;
        case interrupt_status:
            return state.interrupts();
        case status:
            return state.status();
        case shared_memory:
        case shared_memory + 4:
        case shared_memory + 8:
        case shared_memory + 12:
            return 0xffff'ffff;  // there is no such region
        case config_generation:
            return state.generation();
        default:
            return 0;  // queue_reset, too: the write ends when it is done
    }
}

DeviceState::Request MmioRegisters::write(DeviceState& state, unsigned offset, unsigned size, std::uint32_t value) noexcept {
    if (size != 4 || offset % 4 != 0) return {};
    switch (offset) {
        case device_features_select:
            state.select_offered(value);
            break;
        case driver_features:
            state.accept(value);
            break;
        case driver_features_select:
            state.select_accepted(value);
            break;
        case queue_select:
            state.select_queue(value);
            break;
        case queue_size:
            state.set_queue_size(value);
            break;
        case queue_ready:
            return state.write_queue_ready((value & 1) != 0);
        case interrupt_acknowledge:
            state.acknowledge_interrupts(static_cast<std::uint8_t>(value));
            break;
        case status:
            return state.write_status(static_cast<std::uint8_t>(value));
        case queue_reset:
            if ((value & 1) != 0) return state.write_queue_reset();
            break;
        default:
            if (const auto half = queue_addresses.at(offset)) state.set_queue_address(*half, value);
            break;
    }
    return {};
}

std::uint32_t MmioRegisters::read_config(std::span<const std::byte> space, std::size_t offset, unsigned size) noexcept {
    std::uint32_t value = 0;
    for (unsigned byte = 0; byte < size && offset + byte < space.size(); ++byte) {
        value |= std::to_integer<std::uint32_t>(space[offset + byte]) << (8 * byte);
    }
    return value;
}

}  // namespace asyncvm::virtio
