/// The debug console: a port that takes bytes.
#include "devices/device_kind.hpp"

#include <array>
#include <span>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view debug_console_name = "debugcon";

/// Each byte that is written goes to a chardev, the lowest byte of a wide access first. Every byte that is read is 0xe9, as
/// on Bochs and QEMU: firmware looks for that value before it uses the port.
class DebugConsole final : public StatelessDevice {
public:
    explicit DebugConsole(std::shared_ptr<Chardev> output) : output_(std::move(output)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return debug_console_name; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        std::array<std::byte, 8> bytes{};
        for (unsigned i = 0; i < access.size; ++i) bytes[i] = static_cast<std::byte>(access.data >> (8 * i));
        const auto written = std::span<const std::byte>(bytes).first(access.size);
        co_await output_->write(written);
    }

    [[nodiscard]] awaitable<void> write_string(const Access&, std::span<const std::byte> data) override {
        co_await output_->write(data);  // elements are little-endian: their bytes are in order already
    }

    [[nodiscard]] bool posts(std::uint64_t) const noexcept override { return room_to_post(*output_); }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = 0xe9e9'e9e9'e9e9'e9e9 & all_ones(access.size);
        co_return;
    }

private:
    const std::shared_ptr<Chardev> output_;
};

constexpr std::array debug_console_keys{
    DeviceKey{"chardev", "SPEC", "where its output goes, as for --serial (default stdio; ,, for a comma)"},
};
constexpr std::array debug_console_ports{whole_port(0xe9), whole_port(0xf1), whole_port(0x402)};

}  // namespace

std::shared_ptr<Device> make_debug_console(std::shared_ptr<Chardev> output) {
    return std::make_shared<DebugConsole>(std::move(output));
}

constinit const DeviceKind debug_console_kind{
    .name = debug_console_name,
    .help = "debug console: prints the bytes written",
    .keys = debug_console_keys,
    .ports = debug_console_ports,
    .size = 8,
    .by_default = true,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        return make_debug_console(open_output(options, host));
    },
};

}  // namespace asyncvm
