/// The test device of kvm-unit-tests: ports that read back, interrupt lines, memory that is a device's.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view testdev_name = "testdev";
constexpr AddressRange echo_ports{.first = 0xe0, .size = 4};
constexpr AddressRange flush_port{.first = 0xe4, .size = 4};
constexpr AddressRange irq_ports{.first = 0x2000, .size = 24, .whole = true};
constexpr AddressRange test_memory{.first = 0xff00'0000, .size = 0x1'0000};

/// What kvm-unit-tests expects of QEMU's pc-testdev (x86/ioport and x86/emulator there).
struct TestdevRegisters {
    static constexpr unsigned state_version = 1;
    std::array<std::uint8_t, echo_ports.size> echo{};
    std::array<bool, irq_ports.size> levels{};
    std::array<std::uint8_t, test_memory.size> memory{};

    /// The bytes that an access means; none if it means no bytes of the device.
    [[nodiscard]] std::span<std::uint8_t> bytes_of(const Access& access) noexcept {
        const std::uint64_t size = access.size;
        if (access.space == Space::memory) {
            return std::span(memory).subspan(access.offset, std::min(size, memory.size() - access.offset));
        }
        if (access.address < echo_ports.first || access.address >= flush_port.first) return {};
        return std::span(echo).subspan(access.offset, std::min(size, echo.size() - access.offset));
    }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("echo", echo);
        archive.field("levels", levels);
        archive.field("memory", memory);
    }
};

class Testdev final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return testdev_name; }

    void attached(const DeviceContext& context) override {
        for (unsigned irq = 0; irq < lines_.size(); ++irq) lines_[irq] = context.irq(irq);
        publish();
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        if (access.space == Space::port && access.address >= irq_ports.first) {
            registers_.levels[access.offset] = access.data != 0;
            lines_[access.offset].set(access.data != 0);
        } else {
            const auto bytes = registers_.bytes_of(access);
            const auto data = std::as_bytes(std::span(&access.data, 1)).first(bytes.size());
            std::ranges::copy(data, std::as_writable_bytes(bytes).begin());
        }
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = 0;
        const auto bytes = registers_.bytes_of(access);
        std::ranges::copy(std::as_bytes(bytes), std::as_writable_bytes(std::span(&access.data, 1)).begin());
        co_return;
    }

    void reset() override {
        registers_ = {};
        publish();
    }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override {
        restore_state(reader, name(), registers_);
        publish();
    }

private:
    void publish() noexcept {
        for (std::size_t irq = 0; irq < lines_.size(); ++irq) lines_[irq].set(registers_.levels[irq]);
    }

    TestdevRegisters registers_;
    std::array<IrqLine, irq_ports.size> lines_;
};

constexpr std::array testdev_ports{echo_ports, flush_port, irq_ports};

}  // namespace

std::shared_ptr<Device> make_testdev() { return std::make_shared<Testdev>(); }

constinit const DeviceKind testdev_kind{
    .name = testdev_name,
    .help = "the test device of kvm-unit-tests",
    .keys = {},
    .ports = testdev_ports,
    .size = test_memory.size,
    .by_default = false,
    .movable = false,
    .make =
        [](const DeviceOptions&, const DeviceHost& host) {
            auto device = make_testdev();
            host.mmio.attach(test_memory, device);
            return device;
        },
};

}  // namespace asyncvm
