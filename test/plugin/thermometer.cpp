// A thermometer: a read takes a millisecond and gives the temperature; a write sets it.
#include <asyncvm/plugin.hpp>

using namespace asyncvm;

namespace {

class Thermometer final : public Device {
public:
    explicit Thermometer(std::uint64_t degrees) : registers_{degrees} {}

    std::string_view name() const noexcept override { return "thermometer"; }
    unsigned max_access_size() const noexcept override { return 1; }

    void attached(const DeviceContext& context) override { clock_ = &context.clock; }

    awaitable<void> read(Access& access) override {
        co_await clock_->wait_until(clock_->now() + std::chrono::milliseconds(1));  // only this vCPU waits
        access.data = registers_.degrees++;
    }

    awaitable<void> write(const Access& access) override {
        registers_.degrees = access.data;
        co_return;
    }

    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), registers_); }

private:
    struct Registers {
        static constexpr unsigned state_version = 1;
        std::uint64_t degrees;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("degrees", degrees, 255);
        }
    };

    MachineClock* clock_ = nullptr;
    Registers registers_;
};

std::shared_ptr<Device> make_thermometer(const DeviceOptions& options, const DeviceHost&) {
    return std::make_shared<Thermometer>(options.number("degrees", 255).value_or(20));
}

constexpr DeviceKey keys[]{{"degrees", "N", "how warm it is at first, 0 to 255 (default 20)"}};
constexpr AddressRange ports[]{{.first = 0x60, .size = 1}};

constexpr DeviceKind thermometer{
    .name = "thermometer", .help = "counts degrees upwards", .keys = keys, .ports = ports, .make = make_thermometer};

}  // namespace

ASYNCVM_DEVICE_PLUGIN(thermometer)
