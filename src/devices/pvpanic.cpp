/// QEMU's pvpanic: a guest's kernel says that it has panicked.
#include "devices/device_kind.hpp"

#include <asyncvm/device_context.hpp>

#include <array>
#include <functional>
#include <string_view>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view pvpanic_name = "pvpanic";

/// Source: QEMU, docs/specs/pvpanic.rst. A read gives the events that the device knows.
class Pvpanic final : public StatelessDevice {
public:
    Pvpanic(std::function<void(Outcome)> finish, Log log) : finish_(std::move(finish)), log_(std::move(log)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return pvpanic_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }
    void attached(const DeviceContext& context) override { tell_ = context.tell; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        if ((access.data & panicked) != 0) {
            Outcome outcome;
            outcome.kind = Outcome::Kind::crashed;
            outcome.summary = "the guest's kernel panicked";
            tell(outcome.summary);
            finish_(std::move(outcome));
        } else if ((access.data & crash_loaded) != 0 && !std::exchange(said_, true)) {
            constexpr std::string_view what = "the guest's kernel panicked, and runs its crash kernel";
            tell(what);
            log_(what);
        }
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = panicked | crash_loaded;
        co_return;
    }

private:
    static constexpr std::uint64_t panicked = 1 << 0;
    static constexpr std::uint64_t crash_loaded = 1 << 1;

    void tell(std::string_view what) const {
        if (tell_) tell_(what);
    }

    const std::function<void(Outcome)> finish_;
    const Log log_;
    std::function<void(std::string_view)> tell_;
    bool said_ = false;  ///< that a crash kernel runs: once is enough
};

constexpr std::array pvpanic_ports{AddressRange{.first = 0x505, .size = 1}};

}  // namespace

std::shared_ptr<Device> make_pvpanic(std::function<void(Outcome)> finish, Log log) {
    return std::make_shared<Pvpanic>(std::move(finish), std::move(log));
}

constinit const DeviceKind pvpanic_kind{
    .name = pvpanic_name,
    .help = "a guest's kernel reports its panic",
    .keys = {},
    .ports = pvpanic_ports,
    .size = 1,
    .by_default = false,
    .make = [](const DeviceOptions&, const DeviceHost& host) { return make_pvpanic(host.finish, host.log); },
};

}  // namespace asyncvm
