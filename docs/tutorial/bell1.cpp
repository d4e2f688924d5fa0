#include <asyncvm/plugin.hpp>

#include "bell_registers.hpp"

using namespace asyncvm;

namespace {

class Bell final : public Device {
public:
    std::string_view name() const noexcept override { return "bell"; }
    unsigned max_access_size() const noexcept override { return 1; }

    awaitable<void> read(Access& access) override {
        access.data = registers_.read(access.offset);
        co_return;
    }

    awaitable<void> write(const Access& access) override {
        registers_.write(access.offset, access.data);
        co_return;
    }

private:
    BellRegisters registers_;
};

std::shared_ptr<Device> make_bell(const DeviceOptions&, const DeviceHost&) { return std::make_shared<Bell>(); }

constexpr AddressRange ports[]{{.first = 0x300, .size = 2}};

constexpr DeviceKind bell{.name = "bell", .help = "counts rings", .ports = ports, .size = 2, .make = make_bell};

}  // namespace

ASYNCVM_DEVICE_PLUGIN(bell)
