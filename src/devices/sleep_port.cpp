/// The sleep port: the smallest example of a device that waits.
#include <asyncvm/device_context.hpp>

#include "devices/device_kind.hpp"

#include <array>
#include <chrono>
#include <stdexcept>

namespace asyncvm {

namespace {

constexpr std::string_view sleep_port_name = "sleep";

/// OUT of n answers after n microseconds of the machine's time. Only the vCPU that wrote waits, and its wait uses no other
/// thread; stopping the machine cancels it.
class SleepPort final : public StatelessDevice {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return sleep_port_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }

    void attached(const DeviceContext& context) override { clock_ = &context.clock; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        if (clock_ == nullptr) throw std::logic_error("the sleep port is not attached to a machine and has no clock");
        co_await clock_->wait_until(clock_->now() + std::chrono::microseconds(access.data));
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = 0;
        co_return;
    }

private:
    MachineClock* clock_ = nullptr;
};

constexpr std::array sleep_port_ports{whole_port(0xf2)};

}  // namespace

std::shared_ptr<Device> make_sleep_port() { return std::make_shared<SleepPort>(); }

constinit const DeviceKind sleep_port_kind{
    .name = sleep_port_name,
    .help = "a write of n takes n microseconds",
    .keys = {},
    .ports = sleep_port_ports,
    .size = 4,
    .by_default = true,
    .make = [](const DeviceOptions&, const DeviceHost&) { return make_sleep_port(); },
};

}  // namespace asyncvm
