/// The virtio-mmio transport: a device whose registers are answered in place, and whose doorbells are its queues.
#include <asyncvm/virtio.hpp>

#include <utility>

#include "virtio/device_core.hpp"
#include "virtio/mmio_registers.hpp"

namespace asyncvm::virtio {

namespace {

class Mmio final : public asyncvm::Device {
public:
    Mmio(std::shared_ptr<virtio::Device> device, std::optional<unsigned> irq)
        : irq_(irq), core_(std::make_shared<DeviceCore>(std::move(device))) {}

    [[nodiscard]] std::string_view name() const noexcept override { return core_->device().name(); }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }

    void attached(const DeviceContext& context) override {
        if (irq_) line_ = context.irq(*irq_);
        core_->attach(context,
                      [this](const DeviceState& state, const DeviceCore::Raised&) { line_.set(state.interrupts() != 0); });
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        const auto offset = static_cast<unsigned>(access.offset);
        if (offset >= MmioRegisters::config) {
            access.data = core_->read_config(offset - MmioRegisters::config, access.size);
        } else {
            access.data = core_->with_state([&](const DeviceState& state) {
                return MmioRegisters::read(state, core_->device().id(), offset, access.size);
            });
        }
        co_return;
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const auto offset = static_cast<unsigned>(access.offset);
        const auto value = static_cast<std::uint32_t>(access.data);
        if (offset >= MmioRegisters::config) {
            co_await core_->write_config(offset - MmioRegisters::config, access.size, value);
            co_return;
        }
        const auto request =
            core_->change([&](DeviceState& state) { return MmioRegisters::write(state, offset, access.size, value); });
        if (request.kind == DeviceState::Request::Kind::none) co_return;
        co_await core_->carry_out(request);
    }

    [[nodiscard]] std::vector<Doorbell> doorbells() const override {
        std::vector<Doorbell> bells;
        for (std::size_t queue = 0; queue < core_->queues(); ++queue) {
            bells.push_back({.offset = MmioRegisters::queue_notify,
                             .size = 4,
                             .data = queue,
                             .eventfd = core_->device().notification(static_cast<unsigned>(queue))});
        }
        return bells;
    }

    [[nodiscard]] awaitable<void> rung(std::size_t index) override {
        core_->notified(static_cast<unsigned>(index));
        co_return;
    }

    [[nodiscard]] awaitable<void> run() override { return core_->run(); }
    [[nodiscard]] awaitable<void> before_reset() override { return core_->stop_queues(); }
    void reset() override { core_->reset(); }
    void save(StateWriter& writer) override { core_->save(writer); }
    void restore(StateReader& reader) override { core_->restore(reader); }

private:
    const std::optional<unsigned> irq_;
    IrqLine line_;  ///< under the core's mutex
    const std::shared_ptr<DeviceCore> core_;
};

}  // namespace

std::shared_ptr<asyncvm::Device> make_mmio(std::shared_ptr<Device> device, std::optional<unsigned> irq) {
    return std::make_shared<Mmio>(std::move(device), irq);
}

}  // namespace asyncvm::virtio
