#include <asyncvm/plugin.hpp>

#include "bell_registers.hpp"

#include <mutex>

using namespace asyncvm;

namespace {

class Bell final : public Device {
public:
    Bell(unsigned irq, std::chrono::milliseconds every) : irq_(irq), every_(every) {}

    std::string_view name() const noexcept override { return "bell"; }
    unsigned max_access_size() const noexcept override { return 1; }

    void attached(const DeviceContext& context) override {
        line_ = context.irq(irq_);
        clock_ = &context.clock;
        gate_ = context.gate;
    }

    awaitable<void> read(Access& access) override {
        const std::lock_guard lock(mutex_);
        access.data = registers_.read(access.offset);
        line_.set(registers_.interrupt());
        co_return;
    }

    awaitable<void> write(const Access& access) override {
        const std::lock_guard lock(mutex_);
        registers_.write(access.offset, access.data);
        line_.set(registers_.interrupt());
        co_return;
    }

    awaitable<void> run() override {
        if (every_.count() == 0) co_return;
        for (;;) {
            co_await clock_->wait_until(clock_->now() + every_);
            co_await PauseGate::passed(gate_);
            ring(1);
        }
    }

private:
    void ring(std::uint64_t times) {
        const std::lock_guard lock(mutex_);
        registers_.ring(times);
        line_.set(registers_.interrupt());
    }

    const unsigned irq_;
    const std::chrono::milliseconds every_;
    MachineClock* clock_ = nullptr;
    std::shared_ptr<PauseGate> gate_;
    std::mutex mutex_;  // accesses are on a vCPU's thread, run() is on the device loop
    IrqLine line_;
    BellRegisters registers_;
};

std::shared_ptr<Device> make_bell(const DeviceOptions& options, const DeviceHost&) {
    const std::chrono::milliseconds every(options.number("every", 60'000).value_or(0));
    return std::make_shared<Bell>(static_cast<unsigned>(options.number("irq", 15).value_or(5)), every);
}

constexpr AddressRange ports[]{{.first = 0x300, .size = 2}};
constexpr DeviceKey keys[]{{"irq", "N", "its interrupt line, 0 to 15 (default 5)"},
                           {"every", "MS", "somebody rings each MS milliseconds (default 0: nobody)"}};

constexpr DeviceKind bell{
    .name = "bell", .help = "counts rings", .keys = keys, .ports = ports, .size = 2, .make = make_bell};

}  // namespace

ASYNCVM_DEVICE_PLUGIN(bell)
