#include <asyncvm/chardev.hpp>
#include <asyncvm/plugin.hpp>

#include "bell_registers.hpp"

#include <array>
#include <mutex>
#include <utility>

using namespace asyncvm;

namespace {

class Bell final : public Device {
public:
    Bell(unsigned irq, std::shared_ptr<Chardev> visitors) : irq_(irq), visitors_(std::move(visitors)) {}

    std::string_view name() const noexcept override { return "bell"; }
    unsigned max_access_size() const noexcept override { return 1; }

    void attached(const DeviceContext& context) override {
        line_ = context.irq(irq_);
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
        const std::string_view answer = "ding\n";
        for (;;) {
            co_await PauseGate::passed(gate_);
            const auto seen = visitors_->changed().generation();
            std::array<std::byte, 1> letter;
            if (visitors_->read_some(letter) == 0) {
                co_await visitors_->changed().wait(seen);
                continue;
            }
            co_await visitors_->write(std::as_bytes(std::span(answer)));
            ring(1);
        }
    }

    void reset() override {
        const std::lock_guard lock(mutex_);
        registers_ = {};
        line_.set(false);
    }

    void save(StateWriter& writer) override {
        const std::lock_guard lock(mutex_);
        save_state(writer, name(), registers_);
    }

    void restore(StateReader& reader) override {
        const std::lock_guard lock(mutex_);
        restore_state(reader, name(), registers_);
        line_.set(registers_.interrupt());
    }

private:
    void ring(std::uint64_t times) {
        const std::lock_guard lock(mutex_);
        registers_.ring(times);
        line_.set(registers_.interrupt());
    }

    const unsigned irq_;
    const std::shared_ptr<Chardev> visitors_;
    std::shared_ptr<PauseGate> gate_;
    std::mutex mutex_;  // accesses are on a vCPU's thread, run() is on the device loop
    IrqLine line_;
    BellRegisters registers_;
};

std::shared_ptr<Device> make_bell(const DeviceOptions& options, const DeviceHost& host) {
    auto visitors = host.open_chardev(options.text("chardev").value_or("null"));
    return std::make_shared<Bell>(static_cast<unsigned>(options.number("irq", 15).value_or(5)), std::move(visitors));
}

constexpr AddressRange ports[]{{.first = 0x300, .size = 2}};
constexpr DeviceKey keys[]{{"irq", "N", "its interrupt line, 0 to 15 (default 5)"},
                           {"chardev", "SPEC", "where visitors come from, as for --serial (default null)"}};

constexpr DeviceKind bell{
    .name = "bell", .help = "counts rings", .keys = keys, .ports = ports, .size = 2, .reads = true, .make = make_bell};

}  // namespace

ASYNCVM_DEVICE_PLUGIN(bell)
