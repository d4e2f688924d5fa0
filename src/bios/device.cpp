#include <asyncvm/bios.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "bios/services.hpp"

#include <array>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <utility>

namespace asyncvm {

namespace {

static_assert(bios_port == boot::bios_port);

/// The guest's call is in its memory: one write to the port is one call, which may wait for a key.
class BiosDevice final : public Device {
public:
    explicit BiosDevice(BiosConfig config)
        : console_(std::move(config.console)),
          reset_(std::move(config.reset)),
          services_(bios::Disk(std::move(config.disk)), std::move(config.map)) {}

    ~BiosDevice() override {
        if (services_.has_key()) console_->give_back(1);
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "bios"; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }

    void attached(const DeviceContext& context) override {
        memory_ = &context.memory;
        clock_ = &context.clock;
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        if (memory_ == nullptr) throw std::logic_error("the BIOS is not attached to a machine and has no memory");
        boot::BiosFrame frame{};
        const auto bytes = std::as_writable_bytes(std::span(&frame, 1));
        if (access.size != 4 || memory_->read(access.data, bytes) != bytes.size()) co_return;
        for (;;) {
            const auto seen = console_->changed().generation();
            if (frame.vector == 0x16) take_key();
            const auto answer = services_.call(frame, *memory_, clock_->time_of_day());
            if (!answer.output.empty()) {
                const auto output = std::as_bytes(std::span(answer.output));
                co_await console_->write(output);
            }
            if (answer.pause.count() != 0) co_await clock_->wait_until(clock_->now() + answer.pause);
            if (answer.resets && reset_) reset_("the guest called INT 19h (restart)");
            if (!answer.wants_key) break;
            co_await console_->changed().wait(seen);
        }
        static_cast<void>(memory_->write(access.data, bytes));
    }

    [[nodiscard]] awaitable<void> read(Access&) override { co_return; }

    void reset() override { services_.reset(); }
    void save(StateWriter& writer) override { save_state(writer, name(), services_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), services_); }

private:
    void take_key() {
        std::array<std::byte, 1> character{};
        if (!services_.has_key() && console_->read_some(character) == 1) {
            services_.press(std::to_integer<std::uint8_t>(character[0]));
        }
    }

    const std::shared_ptr<Chardev> console_;
    const PlatformRequest reset_;
    bios::Services services_;
    GuestMemory* memory_ = nullptr;
    MachineClock* clock_ = nullptr;
};

}  // namespace

std::shared_ptr<Device> make_bios(BiosConfig config) { return std::make_shared<BiosDevice>(std::move(config)); }

}  // namespace asyncvm
