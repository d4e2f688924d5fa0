/// The power ports: how guests end or restart their machine where there is no ACPI that they could ask. The numbers are the
/// places of the PM1a control register in other monitors, which small kernels write to without looking for ACPI tables.
#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view power_ports_name = "power";
constexpr std::uint64_t sleep_byte_port = 0x600;

/// ACPI 6.5, table 4.13: bit 13 of PM1 control is SLP_EN.
constexpr std::uint64_t pm1_sleep_enable = 1 << 13;
/// ACPI 6.5, table 4.19 (the sleep control register): SLP_TYP 5 in bits 2 to 4, SLP_EN in bit 5.
constexpr std::uint64_t sleep_control_s5 = (5 << 2) | (1 << 5);

/// A write of a sleep state powers the machine off, whatever the state is: each monitor has other numbers for S5. Reads give
/// 0.
class PowerPorts final : public StatelessDevice {
public:
    PowerPorts(PlatformRequest power_off, PlatformRequest reset)
        : power_off_(std::move(power_off)), reset_(std::move(reset)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return power_ports_name; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const bool byte = access.space == Space::port && access.address == sleep_byte_port;
        if (byte ? sleeps(access.data & 0xff) || sleeps(access.data >> 8) : (access.data & pm1_sleep_enable) != 0) {
            power_off_(text(access, "power off"));
        } else if (byte && access.data == 1) {
            reset_(text(access, "reset"));
        }
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = 0;
        co_return;
    }

private:
    static bool sleeps(std::uint64_t byte) noexcept { return byte == sleep_control_s5; }

    static std::string text(const Access& access, std::string_view what) {
        return fmt::format("the guest wrote {:#x} to {} {:#x} ({})", access.data,
                           access.space == Space::port ? "port" : "address", access.address, what);
    }

    const PlatformRequest power_off_;
    const PlatformRequest reset_;
};

constexpr std::array power_ports_places{whole_port(0x604), whole_port(0xb004), whole_port(0x4004),
                                        whole_port(sleep_byte_port)};

PlatformRequest request(const PlatformRequest& asked, const DeviceHost& host, Outcome::Kind kind) {
    if (asked) return asked;
    return [finish = host.finish, kind](std::string why) {
        Outcome outcome;
        outcome.kind = kind;
        outcome.summary = std::move(why);
        finish(std::move(outcome));
    };
}

}  // namespace

PlatformRequest power_off_request(const DeviceHost& host) {
    return request(host.power_off, host, Outcome::Kind::powered_off);
}

PlatformRequest reset_request(const DeviceHost& host) { return request(host.reset, host, Outcome::Kind::reset); }

std::shared_ptr<Device> make_power_ports(PlatformRequest power_off, PlatformRequest reset) {
    return std::make_shared<PowerPorts>(std::move(power_off), std::move(reset));
}

constinit const DeviceKind power_ports_kind{
    .name = power_ports_name,
    .help = "powers off, as on other monitors",
    .keys = {},
    .ports = power_ports_places,
    .size = 4,
    .by_default = true,
    .make = [](const DeviceOptions&,
               const DeviceHost& host) { return make_power_ports(power_off_request(host), reset_request(host)); },
};

}  // namespace asyncvm
