/// The keyboard controller: a thin shell around I8042Registers.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"
#include "devices/i8042_registers.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view i8042_name = "i8042";
constexpr unsigned keyboard_irq = 1;
constexpr std::uint64_t command_port_bit = 4;  // of 0x64, not of 0x60

class I8042 final : public Device {
public:
    explicit I8042(PlatformRequest reset) : reset_(std::move(reset)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return i8042_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }

    void attached(const DeviceContext& context) override {
        line_ = context.irq(keyboard_irq);
        publish();
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const auto value = static_cast<std::uint8_t>(access.data);
        const bool resets = is_command(access) ? registers_.write_command(value) : registers_.write_data(value);
        publish();
        if (resets)
            reset_(fmt::format("the guest wrote {:#04x} to port {:#x} (keyboard controller)", value, access.address));
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        if (is_command(access)) {
            access.data = registers_.status();
        } else {
            access.data = registers_.read_data();
            // An edge-triggered interrupt controller must see that the byte is gone before the next one comes.
            line_.set(false);
            publish();
        }
        co_return;
    }

    void reset() override {
        registers_.reset();
        publish();
    }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override {
        restore_state(reader, name(), registers_);
        publish();
    }

private:
    static bool is_command(const Access& access) noexcept { return (access.address & command_port_bit) != 0; }
    void publish() noexcept { line_.set(registers_.interrupt_pending()); }

    const PlatformRequest reset_;
    I8042Registers registers_;
    IrqLine line_;
};

constexpr std::array i8042_ports{AddressRange{.first = 0x60, .size = 1}, AddressRange{.first = 0x64, .size = 1}};

}  // namespace

std::shared_ptr<Device> make_i8042(PlatformRequest reset) { return std::make_shared<I8042>(std::move(reset)); }

constinit const DeviceKind i8042_kind{
    .name = i8042_name,
    .help = "keyboard controller: A20, reset, a keyboard",
    .keys = {},
    .ports = i8042_ports,
    .size = 1,
    .by_default = false,
    .movable = false,
    .make = [](const DeviceOptions&, const DeviceHost& host) { return make_i8042(reset_request(host)); },
};

}  // namespace asyncvm
