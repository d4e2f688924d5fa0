/// The ACPI power-management block: PM1a event and control registers, and the PM timer.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/acpi_pm_registers.hpp"
#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::chrono_literals;

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

    void attached(const DeviceContext& context) override {
        const std::lock_guard lock(mutex_);
        clock_ = &context.clock;
        gate_ = context.gate;
        line_ = context.irq(irq_);
        started_ = clock_->now();
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        bool sleeps = false;
        unsigned type = 0;
        {
            const std::lock_guard lock(mutex_);
            const auto at = now();
            sleeps = registers_.write(static_cast<unsigned>(access.offset), access.size,
                                      static_cast<std::uint32_t>(access.data), at);
            type = registers_.sleep_type();
            publish(at);
        }
        changed_.notify();
        if (sleeps) sleep(access, type);
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        const std::lock_guard lock(mutex_);
        const auto at = now();
        access.data = registers_.read(static_cast<unsigned>(access.offset), access.size, at);
        publish(at);
        co_return;
    }

    /// Raises the timer's event, if it is enabled; otherwise it sleeps without an end.
    [[nodiscard]] awaitable<void> run() override {
        for (;;) {
            if (gate_) co_await PauseGate::passed(gate_);
            const auto seen = changed_.generation();
            const auto until = attend();
            if (until == MachineClock::time_point::max()) {
                co_await changed_.wait(seen);
            } else {
                co_await clock_->wait(changed_, seen, until);
            }
        }
    }

    void press_power_button() override {
        const std::lock_guard lock(mutex_);
        registers_.press_power_button();
        publish(now());
    }

    void reset() override {
        {
            const std::lock_guard lock(mutex_);
            registers_.reset();
            if (clock_ != nullptr) started_ = clock_->now();
            publish(now());
        }
        changed_.notify();
    }

    void save(StateWriter& writer) override {
        const std::lock_guard lock(mutex_);
        const auto at = now();
        publish(at);  // the registers note what the timer has done until now
        Saved saved{registers_, at};
        save_state(writer, name(), saved);
    }

    void restore(StateReader& reader) override {
        Saved saved;
        restore_state(reader, name(), saved);
        {
            const std::lock_guard lock(mutex_);
            registers_ = saved.registers;
            if (clock_ != nullptr) started_ = clock_->now() - std::clamp(saved.now, 0ns, longest_run);
            publish(now());
        }
        changed_.notify();
    }

private:
    struct Saved {
        static constexpr unsigned state_version = AcpiPmRegisters::state_version;
        AcpiPmRegisters registers{};
        AcpiPmRegisters::Time now{};

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("registers", registers);
            archive.field("now", now);
        }
    };
    static constexpr AcpiPmRegisters::Time longest_run = 24h * 365 * 100;

    [[nodiscard]] AcpiPmRegisters::Time now() const noexcept {
        return clock_ == nullptr ? 0ns : std::max(clock_->now() - started_, AcpiPmRegisters::Time(0));
    }

    /// `at` is what the registers have just been asked or told with.
    void publish(AcpiPmRegisters::Time at) noexcept { line_.set(registers_.interrupt_pending(at)); }

    [[nodiscard]] MachineClock::time_point attend() {
        const std::lock_guard lock(mutex_);
        // One reading of the clock: a timer event between two would wait for the next one.
        const auto at = now();
        publish(at);
        if (!registers_.timer_event_enabled() || clock_ == nullptr) return MachineClock::time_point::max();
        return started_ + AcpiPmRegisters::next_timer_event(at);
    }

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
    std::mutex mutex_;      ///< run() and press_power_button() are on other threads than the accesses
    AcpiPmRegisters registers_;
    MachineClock* clock_ = nullptr;
    MachineClock::time_point started_{};
    std::shared_ptr<PauseGate> gate_;
    IrqLine line_;
    Event changed_;  ///< what run() waits for
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
