/// The exit port: how a guest ends its machine with a code of its own.
#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::string_view_literals;

constexpr auto exit_port_name = "exit"sv;

/// 0 to 255: a process gives its parent only the low 8 bits.
constexpr int exit_code_of(std::uint64_t value, ExitCoding coding) noexcept {
    return static_cast<int>((coding == ExitCoding::qemu ? (value << 1) | 1 : value) & 0xff);
}

/// A write ends the run. Reads give 0.
class ExitPort final : public StatelessDevice {
public:
    ExitPort(std::function<void(Outcome)> finish, ExitCoding coding) : finish_(std::move(finish)), coding_(coding) {}

    [[nodiscard]] std::string_view name() const noexcept override { return exit_port_name; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        Outcome outcome;
        outcome.kind = Outcome::Kind::exited;
        outcome.guest_code = exit_code_of(access.data, coding_);
        outcome.summary = fmt::format("the guest wrote {} to the exit {} {:#x}: exit code {}", access.data,
                                      access.space == Space::port ? "port" : "address", access.address, outcome.guest_code);
        finish_(std::move(outcome));
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = 0;
        co_return;
    }

private:
    const std::function<void(Outcome)> finish_;
    const ExitCoding coding_;
};

constexpr std::array exit_port_keys{
    DeviceKey{"code", "qemu|exact", "the exit code: (value << 1) | 1, or the value (default qemu)"},
};
constexpr std::array exit_port_ports{whole_port(0xf4), whole_port(0x501)};

}  // namespace

std::shared_ptr<Device> make_exit_port(std::function<void(Outcome)> finish, ExitCoding coding) {
    return std::make_shared<ExitPort>(std::move(finish), coding);
}

constinit const DeviceKind exit_port_kind{
    .name = exit_port_name,
    .help = "ends the machine with an exit code",
    .keys = exit_port_keys,
    .ports = exit_port_ports,
    .size = 8,
    .by_default = true,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        constexpr std::array codings{"qemu"sv, "exact"sv};
        return make_exit_port(host.finish, options.choice("code", codings) == 0 ? ExitCoding::qemu : ExitCoding::exact);
    },
};

}  // namespace asyncvm
