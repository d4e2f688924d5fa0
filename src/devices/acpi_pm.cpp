/// The ACPI power-management block: PM1a event and control registers, and the PM timer.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/acpi_pm_registers.hpp"
#include "devices/clocked_registers.hpp"
#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view acpi_pm_name = "acpi-pm";
constexpr unsigned default_sci = 9;
/// The sleep types that power the machine off: 5 is what the tables of the pc machine name for S5, 0 what QEMU's do, and
/// with them small kernels that look into no table.
constexpr std::array<unsigned, 2> power_off_types{0, 5};

class AcpiPmBlock final : public AcpiPm {
public:
    AcpiPmBlock(PlatformRequest power_off, unsigned irq, Log log)
        : power_off_(std::move(power_off)), irq_(irq), log_(std::move(log)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return acpi_pm_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }

    void attached(const DeviceContext& context) override { clocked_.attached(context, irq_); }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const auto sleep_type = clocked_.act([&access](AcpiPmRegisters& registers, AcpiPmRegisters::Now now) {
            const bool sleeps = registers.write(static_cast<unsigned>(access.offset), access.size,
                                                static_cast<std::uint32_t>(access.data), now);
            return sleeps ? std::optional(registers.sleep_type()) : std::nullopt;
        });
        if (sleep_type) sleep(access, *sleep_type);
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = clocked_.act([&access](AcpiPmRegisters& registers, AcpiPmRegisters::Now now) {
            return registers.read(static_cast<unsigned>(access.offset), access.size, now);
        });
        co_return;
    }

    /// Raises the timer's event, if it is enabled.
    [[nodiscard]] awaitable<void> run() override { return clocked_.run(); }

    void press_power_button() override {
        clocked_.act([](AcpiPmRegisters& registers, AcpiPmRegisters::Now) { registers.press_power_button(); });
    }

    void reset() override { clocked_.restore({}); }

    void save(StateWriter& writer) override {
        Saved saved{clocked_.saved()};
        save_state(writer, name(), saved);
    }

    void restore(StateReader& reader) override {
        Saved saved;
        restore_state(reader, name(), saved);
        clocked_.restore(saved);
    }

private:
    struct Saved : ClockedRegisters<AcpiPmRegisters>::Saved {
        static constexpr unsigned state_version = AcpiPmRegisters::state_version;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("registers", registers);
            archive.field("now", running);
        }
    };

    void sleep(const Access& access, unsigned type) {
        if (std::ranges::find(power_off_types, type) != power_off_types.end()) {
            power_off_(fmt::format("the guest wrote {:#x} to {} {:#x} (power off)", access.data,
                                   access.space == Space::port ? "port" : "address", access.address));
        } else if (!std::exchange(refused_, true)) {
            log_(fmt::format("device acpi-pm: sleep type {} is none that this machine has (5: power off)", type));
        }
    }

    const PlatformRequest power_off_;
    const unsigned irq_;
    const Log log_;
    bool refused_ = false;  ///< a sleep type: said once; only accesses use it
    ClockedRegisters<AcpiPmRegisters> clocked_;
};

constexpr std::array acpi_pm_ports{AddressRange{.first = 0x600, .size = AcpiPmRegisters::size}};
constexpr std::array acpi_pm_keys{DeviceKey{"irq", "N", "its interrupt line, the SCI, 0 to 23 (default 9)"}};

}  // namespace

std::shared_ptr<AcpiPm> make_acpi_pm(PlatformRequest power_off, unsigned irq, Log log) {
    return std::make_shared<AcpiPmBlock>(std::move(power_off), irq, std::move(log));
}

constinit const DeviceKind acpi_pm_kind{
    .name = acpi_pm_name,
    .help = "ACPI PM1a registers and PM timer",
    .keys = acpi_pm_keys,
    .ports = acpi_pm_ports,
    .size = AcpiPmRegisters::size,
    .by_default = false,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        const auto irq = static_cast<unsigned>(options.number("irq", 23).value_or(default_sci));
        return make_acpi_pm(power_off_request(host), irq, host.log);
    },
};

}  // namespace asyncvm
