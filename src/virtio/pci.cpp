/// The virtio-pci transport (virtio 1.2, 4.1): a PCI function whose registers are answered in place, whose doorbells are its
/// queues, and which interrupts by MSI-X or by its line.
#include <asyncvm/error.hpp>
#include <asyncvm/pci.hpp>
#include <asyncvm/state.hpp>
#include <asyncvm/virtio.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "pci/config_space.hpp"
#include "pci/msix.hpp"
#include "virtio/device_core.hpp"
#include "virtio/direct_calls.hpp"
#include "virtio/pci_capabilities.hpp"
#include "virtio/pci_registers.hpp"

namespace asyncvm::virtio {

namespace {

constexpr std::string_view transport_name = "virtio-pci";

/// All that a driver can change of the function, but for what DeviceCore has.
struct PciState {
    static constexpr unsigned state_version = 1;
    pci::ConfigSpace space{};
    pci::Msix msix{};
    PciVectors vectors{};

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("configuration space", space);
        archive.field("MSI-X", msix);
        archive.field("vectors", vectors);
    }
};

class Pci final : public PciFunction {
    using R = PciRegisters;

public:
    explicit Pci(std::shared_ptr<virtio::Device> device) : core_(std::make_shared<DeviceCore>(std::move(device))) {}

    [[nodiscard]] std::string_view name() const noexcept override { return core_->device().name(); }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }
    [[nodiscard]] std::uint32_t bar_size() const noexcept override { return R::bar_size; }

    void plug(PciPlace place) override { place_ = std::move(place); }

    void attached(const DeviceContext& context) override {
        line_ = context.irq(place_.irq);
        interrupts_ = context.interrupts;
        log_ = context.log;
        core_->attach(context,
                      [this](DeviceState& device, const DeviceCore::Raised& raised) { show_interrupts(device, raised); });
        core_->with_state([&](DeviceState&) { state_ = power_on(); });
        follow_bar();
        if (interrupts_ == nullptr || !core_->device().hands_rings_over()) return;
        std::vector<int> eventfds;
        for (unsigned queue = 0; queue < core_->queues(); ++queue) eventfds.push_back(core_->device().call(queue));
        calls_ = DirectCalls(*interrupts_, eventfds, place_.first_line, place_.lines);
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = read_bar(static_cast<unsigned>(access.offset), access.size);
        co_return;
    }
    [[nodiscard]] awaitable<void> write(const Access& access) override {
        return write_bar(static_cast<unsigned>(access.offset), access.size, static_cast<std::uint32_t>(access.data));
    }

    [[nodiscard]] std::vector<Doorbell> doorbells() const override {
        std::vector<Doorbell> bells;
        for (unsigned queue = 0; queue < core_->queues(); ++queue) {
            bells.push_back({.offset = R::notify + queue * R::notify_multiplier,
                             .size = 2,
                             .data = {},
                             .eventfd = core_->device().notification(queue)});
        }
        return bells;
    }
    [[nodiscard]] awaitable<void> rung(std::size_t index) override {
        core_->notified(static_cast<unsigned>(index));
        co_return;
    }

    [[nodiscard]] awaitable<std::uint32_t> read_config(unsigned offset, unsigned size) override {
        if (offset / 4 == PciCapabilities::window_data / 4) {
            if (const auto window = this->window()) {
                const std::uint32_t value = read_bar(window->offset, window->size);
                core_->with_state([&](DeviceState&) { state_.space.set(PciCapabilities::window_data, 4, value); });
            }
        }
        co_return core_->with_state([&](DeviceState&) { return state_.space.read(offset, size); });
    }

    [[nodiscard]] awaitable<void> write_config(unsigned offset, unsigned size, std::uint32_t value) override {
        const bool was_master = core_->with_state([&](DeviceState& device) {
            const bool before = state_.space.is_bus_master();
            state_.space.write(offset, size, value);
            const std::uint32_t control = state_.space.read(PciCapabilities::msix_control, 2);
            const bool was_enabled = state_.msix.enabled();
            if (offset / 4 == PciCapabilities::msix_control / 4) {
                const auto messages = state_.msix.write_control(static_cast<std::uint16_t>(control));
                if (state_.msix.enabled() && !was_enabled && interrupts_ != nullptr) interrupts_->expect_messages();
                for (const MsiMessage& message : messages) send(message);
            }
            show_line(device);
            return before;
        });
        follow_bar();
        follow_vectors();
        co_await follow_mastering(was_master);
        if (offset / 4 != PciCapabilities::window_data / 4) co_return;
        const auto window = this->window();
        if (!window) co_return;
        const auto data =
            core_->with_state([&](DeviceState&) { return state_.space.read(PciCapabilities::window_data, window->size); });
        co_await write_bar(window->offset, window->size, data);
    }

    [[nodiscard]] awaitable<void> run() override { return core_->run(); }
    [[nodiscard]] awaitable<void> before_reset() override { return core_->stop_queues(); }
    void reset() override {
        core_->with_state([&](DeviceState&) { state_ = power_on(); });
        core_->let_serve(true);
        core_->reset();
        follow_bar();
        follow_vectors();
    }

    void save(StateWriter& writer) override {
        PciState saved = core_->with_state([&](DeviceState&) { return state_; });
        save_state(writer, transport_name, saved);
        core_->save(writer);
    }

    void restore(StateReader& reader) override {
        const PciState own = power_on();
        PciState saved = own;
        restore_state(reader, transport_name, saved);
        if (!saved.vectors.fits(own.vectors) || saved.msix.vectors() != own.msix.vectors()) {
            throw Error(ErrorKind::usage, fmt::format("the saved state of {} is of a device with other queues", name()));
        }
        saved.space.adopt(own.space);
        // DeviceCore shows interrupts as it restores itself.
        core_->with_state([&](DeviceState&) { std::swap(state_, saved); });
        core_->let_serve(is_master());
        try {
            core_->restore(reader);
        } catch (...) {
            core_->with_state([&](DeviceState&) { std::swap(state_, saved); });
            core_->let_serve(is_master());
            throw;
        }
        if (state_.msix.enabled() && interrupts_ != nullptr) interrupts_->expect_messages();
        follow_bar();
        follow_vectors();
    }

private:
    [[nodiscard]] PciState power_on() const {
        const auto queues = core_->queues();
        const auto vectors = static_cast<unsigned>(std::clamp<std::size_t>(queues + 1, 2, R::most_vectors));
        return {.space = PciCapabilities::make_space({.device = core_->device().id(),
                                                      .vectors = vectors,
                                                      .queues = static_cast<unsigned>(queues),
                                                      .has_config = !core_->device().config().empty(),
                                                      .bar = place_.bar,
                                                      .irq = place_.irq}),
                .msix = pci::Msix(vectors),
                .vectors = PciVectors(queues, vectors)};
    }

    /// Not under the mutex: KVM takes its time. The accesses to the configuration space come one at a time.
    void follow_bar() {
        const auto bar = core_->with_state([&](DeviceState&) { return state_.space.bar(0); });
        if (bar == bar_) return;
        bar_ = bar;
        if (place_.range) place_.range->move(bar);
    }

    [[nodiscard]] bool is_master() const {
        return core_->with_state([&](DeviceState&) { return state_.space.is_bus_master(); });
    }

    /// A function that is no bus master touches no memory. A driver that ends that while its queues are served, as a kernel
    /// does with a device that it leaves to the next one, gets them back by a reset only.
    [[nodiscard]] awaitable<void> follow_mastering(bool was_master) {
        using enum DeviceState::Request::Kind;
        const bool may = is_master();
        if (may == was_master) co_return;
        core_->let_serve(may);
        const auto status = core_->with_state([](DeviceState& device) { return device.status(); });
        if ((status & DeviceState::driver_ok) == 0) co_return;
        if (may) {
            if ((status & DeviceState::needs_reset_bit) == 0) co_await core_->carry_out({.kind = start});
            co_return;
        }
        for (unsigned queue = 0; queue < core_->queues(); ++queue) {
            co_await core_->carry_out({.kind = stop_queue, .queue = queue});
        }
        core_->need_reset("the driver has ended its bus mastering while it used it");
    }

    /// The same of the messages of rings that another process serves.
    void follow_vectors() {
        const std::lock_guard lock(calls_mutex_);
        if (calls_.empty()) return;
        const auto messages = core_->with_state([&](DeviceState&) {
            std::vector<std::optional<MsiMessage>> of_queues;
            for (unsigned queue = 0; queue < core_->queues(); ++queue) {
                const auto message = state_.msix.message(state_.vectors.queue(queue));
                of_queues.push_back(state_.space.is_bus_master() ? message : std::nullopt);
            }
            return of_queues;
        });
        try {
            calls_.set(messages);
        } catch (const Error& error) {
            log_(fmt::format("device {}: its interrupts go through this program's device loop: {}", name(), error.what()));
        }
    }

    [[nodiscard]] std::optional<PciCapabilities::Window> window() const {
        return core_->with_state([&](DeviceState&) { return PciCapabilities::window(state_.space); });
    }

    [[nodiscard]] std::uint32_t read_bar(unsigned offset, unsigned size) {
        const unsigned part = offset / R::part_size * R::part_size;
        if (part == R::config) return core_->read_config(offset - part, size);
        return core_->with_state([&](DeviceState& device) -> std::uint32_t {
            switch (part) {
                case R::common:
                    return offset < R::common_size ? R::read(device, state_.vectors, offset, size) : 0;
                case R::isr:
                    return offset == R::isr ? take_isr(device) : 0;
                case R::msix_table:
                    return state_.msix.read_table(offset - part, size);
                case R::msix_pending:
                    return state_.msix.read_pending(offset - part, size);
                default:
                    return 0;
            }
        });
    }

    [[nodiscard]] awaitable<void> write_bar(unsigned offset, unsigned size, std::uint32_t value) {
        const unsigned part = offset / R::part_size * R::part_size;
        DeviceState::Request request;
        switch (part) {
            case R::common:
                request = core_->change(
                    [&](DeviceState& device) { return R::write(device, state_.vectors, offset, size, value); });
                follow_vectors();
                break;
            case R::config:
                co_await core_->write_config(offset - part, size, value);
                break;
            case R::notify:
                if ((offset - part) / R::notify_multiplier >= core_->queues()) break;
                request = {.kind = DeviceState::Request::Kind::notify, .queue = (offset - part) / R::notify_multiplier};
                break;
            case R::msix_table:
                core_->with_state([&](DeviceState&) {
                    if (const auto message = state_.msix.write_table(offset - part, size, value)) send(*message);
                });
                follow_vectors();
                break;
            default:
                break;
        }
        if (request.kind == DeviceState::Request::Kind::none) co_return;
        co_await core_->carry_out(request);
        core_->with_state([&](DeviceState&) {
            if (request.kind == DeviceState::Request::Kind::reset) state_.vectors.reset();
            if (request.kind == DeviceState::Request::Kind::reset_queue) {
                state_.vectors.set_queue(request.queue, PciVectors::none);
            }
        });
        follow_vectors();
    }

    // Under the core's mutex.

    void show_interrupts(DeviceState& device, const DeviceCore::Raised& raised) {
        if (state_.msix.enabled()) {
            device.acknowledge_interrupts(DeviceState::used_buffer | DeviceState::config_change);
            if (raised.config) raise(state_.vectors.config());
            if (raised.queue) raise(state_.vectors.queue(*raised.queue));
        }
        show_line(device);
    }

    void show_line(const DeviceState& device) {
        const bool pending = device.interrupts() != 0 && !state_.msix.enabled();
        state_.space.show_interrupt(pending);
        line_.set(pending && !state_.space.interrupts_disabled());
    }

    /// Reading acknowledges (4.1.4.5).
    [[nodiscard]] std::uint8_t take_isr(DeviceState& device) {
        const std::uint8_t causes = device.interrupts();
        device.acknowledge_interrupts(causes);
        show_line(device);
        return causes;
    }

    void raise(std::uint16_t vector) {
        if (const auto message = state_.msix.raise(vector)) send(*message);
    }

    void send(const MsiMessage& message) {
        // A message is a write to memory.
        if (interrupts_ != nullptr && state_.space.is_bus_master()) interrupts_->signal(message);
    }

    const std::shared_ptr<DeviceCore> core_;
    PciPlace place_{};
    PciState state_;                     ///< under the core's mutex
    IrqLine line_;                       ///< under the core's mutex
    InterruptController* interrupts_{};  ///< null: there is none
    std::optional<std::uint64_t> bar_;   ///< where the range is
    Log log_;
    std::mutex calls_mutex_;  ///< before the core's
    DirectCalls calls_;       ///< under it
};

}  // namespace

std::shared_ptr<PciFunction> make_pci(std::shared_ptr<Device> device) { return std::make_shared<Pci>(std::move(device)); }

}  // namespace asyncvm::virtio
