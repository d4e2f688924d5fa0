/// What is saved of a virtio device: the transport's state, where its queues are, and what its author's code saves.
#include <asyncvm/error.hpp>
#include <asyncvm/state.hpp>

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "virtio/device_core.hpp"

namespace asyncvm::virtio {

struct DeviceCore::Saved {
    static constexpr unsigned state_version = DeviceState::state_version;
    DeviceState state{};
    std::vector<std::optional<SplitQueue::Position>> queues{};  ///< of those that are served
    std::vector<std::byte> device{};                            ///< what the author's code has saved

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("state", state);
        archive.field("queues", queues);
        archive.field("device", device);
    }
};

void DeviceCore::save(StateWriter& writer) {
    Saved saved;
    saved.state = with_state([](DeviceState& state) { return state; });
    for (const auto& queue : queues_) {
        if (queue)
            saved.queues.emplace_back(queue->ring_->position());
        else
            saved.queues.emplace_back();
    }
    StateWriter inner;
    device_->save(inner);
    saved.device.assign(inner.bytes().begin(), inner.bytes().end());
    save_state(writer, device_->name(), saved);
}

void DeviceCore::restore(StateReader& reader) {
    Saved saved;
    restore_state(reader, device_->name(), saved);
    const DeviceState now = with_state([](DeviceState& state) { return state; });
    if (!saved.state.fits(now) || saved.queues.size() != queues_.size()) {
        throw Error(ErrorKind::usage,
                    fmt::format("the saved state of {} is of a device with other features or queues", device_->name()));
    }
    StateReader inner(saved.device);
    device_->restore(inner);
    abandon_queues();
    saved.state.adopt(now);
    auto config = device_->config();
    {
        const std::lock_guard lock(mutex_);
        state_ = saved.state;
        config_ = std::move(config);
        show_interrupts();
    }
    for (unsigned index = 0; index < queues_.size(); ++index) {
        const auto& position = saved.queues[index];
        start_queue_if_ready(index, position ? &*position : nullptr);
    }
}

}  // namespace asyncvm::virtio
