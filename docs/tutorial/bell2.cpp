#include <asyncvm/plugin.hpp>

#include "bell_registers.hpp"

using namespace asyncvm;

namespace {

class Bell final : public Device {
public:
    explicit Bell(unsigned irq) : irq_(irq) {}

    std::string_view name() const noexcept override { return "bell"; }
    unsigned max_access_size() const noexcept override { return 1; }

    void attached(const DeviceContext& context) override { line_ = context.irq(irq_); }

    awaitable<void> read(Access& access) override {
        access.data = registers_.read(access.offset);
        line_.set(registers_.interrupt());
        co_return;
    }

    awaitable<void> write(const Access& access) override {
        registers_.write(access.offset, access.data);
        line_.set(registers_.interrupt());
        co_return;
    }

private:
    const unsigned irq_;
    IrqLine line_;
    BellRegisters registers_;
};

std::shared_ptr<Device> make_bell(const DeviceOptions& options, const DeviceHost&) {
    return std::make_shared<Bell>(static_cast<unsigned>(options.number("irq", 15).value_or(5)));
}

constexpr AddressRange ports[]{{.first = 0x300, .size = 2}};
constexpr DeviceKey keys[]{{"irq", "N", "its interrupt line, 0 to 15 (default 5)"}};

constexpr DeviceKind bell{
    .name = "bell", .help = "counts rings", .keys = keys, .ports = ports, .size = 2, .make = make_bell};

}  // namespace

ASYNCVM_DEVICE_PLUGIN(bell)
