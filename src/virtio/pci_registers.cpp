#include "virtio/pci_registers.hpp"

#include <algorithm>

namespace asyncvm::virtio {

namespace {

/// The 4 bytes at `offset`, which is a multiple of 4.
std::uint32_t common_word(const DeviceState& state, const PciVectors& vectors, unsigned offset) noexcept {
    using R = PciRegisters;
    const auto pair = [](std::uint32_t low, std::uint32_t high) { return low | high << 16; };
    const DeviceState::QueueSetup none{};
    const DeviceState::QueueSetup* const selected = state.selected();
    const DeviceState::QueueSetup& queue = selected != nullptr ? *selected : none;
    const std::uint32_t index = state.selected_index();
    switch (offset) {
        case R::device_features_select:
            return state.offered_half();
        case R::device_features:
            return state.offered();
        case R::driver_features_select:
            return state.accepted_half();
        case R::driver_features:
            return state.accepted();
        case R::config_vector:
            return pair(vectors.config(), static_cast<std::uint32_t>(state.queues()));
        case R::status:  // generation and queue_select in it
            return pair(state.status() | (state.generation() & 0xff) << 8, index & 0xffff);
        case R::queue_size:
            return pair(queue.size, selected != nullptr ? vectors.queue(index) : PciVectors::none);
        case R::queue_enable:
            return pair(queue.ready ? 1 : 0, selected != nullptr ? index : 0);
        case R::queue_notify_data:  // and queue_reset: the write ends when it is done
            return selected != nullptr ? index : 0;
        default: {
            const auto half = R::queue_addresses.at(offset);
            return half ? half->of(queue) : 0;
        }
    }
}

unsigned width_of(unsigned offset) noexcept {
    using R = PciRegisters;
    switch (offset) {
        case R::status:
        case R::config_generation:
            return 1;
        case R::config_vector:
        case R::queues:
        case R::queue_select:
        case R::queue_size:
        case R::queue_vector:
        case R::queue_enable:
        case R::queue_notify_off:
        case R::queue_notify_data:
        case R::queue_reset:
            return 2;
        default:
            return 4;
    }
}

}  // namespace

bool PciVectors::fits(const PciVectors& own) const noexcept {
    const auto possible = [&own](std::uint16_t vector) { return vector == none || vector < own.vectors_; };
    return queues_.size() == own.queues_.size() && possible(config_) && std::ranges::all_of(queues_, possible);
}

std::uint32_t PciRegisters::read(const DeviceState& state, const PciVectors& vectors, unsigned offset,
                                 unsigned size) noexcept {
    if (offset % size != 0) return 0;
    const std::uint32_t word = common_word(state, vectors, offset & ~3u) >> (8 * (offset % 4));
    return size == 4 ? word : word & ((std::uint32_t{1} << (8 * size)) - 1);
}

DeviceState::Request PciRegisters::write(DeviceState& state, PciVectors& vectors, unsigned offset, unsigned size,
                                         std::uint32_t value) noexcept {
    if (size != width_of(offset)) return {};
    switch (offset) {
        case device_features_select:
            state.select_offered(value);
            break;
        case driver_features_select:
            state.select_accepted(value);
            break;
        case driver_features:
            state.accept(value);
            break;
        case config_vector:
            vectors.set_config(value);
            break;
        case status:
            return state.write_status(static_cast<std::uint8_t>(value));
        case queue_select:
            state.select_queue(value);
            break;
        case queue_size:
            state.set_queue_size(value);
            break;
        case queue_vector:
            vectors.set_queue(state.selected_index(), value);
            break;
        case queue_enable:
            // A driver must not write 0 (4.1.4.3.2): it resets the queue.
            if (value == 1) return state.write_queue_ready(true);
            break;
        case queue_reset:
            if (value == 1) return state.write_queue_reset();
            break;
        default:
            if (const auto half = queue_addresses.at(offset)) state.set_queue_address(*half, value);
            break;
    }
    return {};
}

}  // namespace asyncvm::virtio
