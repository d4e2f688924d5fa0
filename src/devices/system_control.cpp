/// The two system control ports of a PC: A (0x92) with A20 and reset, B (0x61) with the refresh bit and the timer's output.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view port_a_name = "port92";
constexpr std::string_view port_b_name = "port61";

/// Source: Intel 82371AB (PIIX4) data sheet, 4.1.5. All memory is there whatever bit 1 says; guests that set A20 read it
/// back.
struct SystemControlARegisters {
    static constexpr std::uint8_t fast_init = 1 << 0;  ///< resets when it rises
    static constexpr std::uint8_t a20 = 1 << 1;
    static constexpr unsigned state_version = 1;

    std::uint8_t value = a20;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("value", value);
    }
};

class SystemControlA final : public Device {
public:
    explicit SystemControlA(PlatformRequest reset) : reset_(std::move(reset)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return port_a_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const auto before = std::exchange(registers_.value, static_cast<std::uint8_t>(access.data));
        if ((registers_.value & ~before & SystemControlARegisters::fast_init) != 0) {
            reset_(fmt::format("the guest wrote {:#04x} to {} {:#x} (fast reset)", registers_.value,
                               access.space == Space::port ? "port" : "address", access.address));
        }
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = registers_.value;
        co_return;
    }

    void reset() override { registers_ = {}; }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), registers_); }

private:
    const PlatformRequest reset_;
    SystemControlARegisters registers_;
};

/// Source: Intel 82371AB (PIIX4) data sheet, 4.1.4. There is no timer behind it: its output changes every 10 ms from when
/// its gate opens, so that loops which wait for a level end. In a machine with a PIT in the accelerator the port is the
/// PIT's.
struct SystemControlBRegisters {
    static constexpr std::uint8_t timer_gate = 1 << 0;
    static constexpr std::uint8_t writable = 0x0f;
    static constexpr std::uint8_t refresh = 1 << 4;
    static constexpr std::uint8_t timer_output = 1 << 5;
    static constexpr std::chrono::nanoseconds refresh_time = 15'085ns;
    static constexpr std::chrono::nanoseconds timer_time = 10ms;
    static constexpr unsigned state_version = 1;

    std::uint8_t value = 0;
    std::chrono::nanoseconds opened{};  ///< the gate

    void write(std::uint8_t written, std::chrono::nanoseconds now) noexcept {
        if ((written & ~value & timer_gate) != 0) opened = now;
        value = written & writable;
    }

    [[nodiscard]] std::uint8_t read(std::chrono::nanoseconds now) const noexcept {
        unsigned bits = value;
        if ((now / refresh_time) % 2 != 0) bits |= refresh;
        if ((value & timer_gate) != 0 && ((now - opened) / timer_time) % 2 != 0) bits |= timer_output;
        return static_cast<std::uint8_t>(bits);
    }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("value", value, writable);
        archive.field("opened", opened);
    }
};

class SystemControlB final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return port_b_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }

    void attached(const DeviceContext& context) override {
        clock_ = &context.clock;
        started_ = clock_->now();
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        registers_.write(static_cast<std::uint8_t>(access.data), now());
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = registers_.read(now());
        co_return;
    }

    void reset() override {
        registers_ = {};
        if (clock_ != nullptr) started_ = clock_->now();
    }

    void save(StateWriter& writer) override {
        Saved saved{registers_, now()};
        save_state(writer, name(), saved);
    }

    void restore(StateReader& reader) override {
        Saved saved;
        restore_state(reader, name(), saved);
        constexpr std::chrono::nanoseconds longest = 24h * 365 * 100;
        const auto at = std::clamp<std::chrono::nanoseconds>(saved.now, 0ns, longest);
        registers_ = saved.registers;
        registers_.opened = std::clamp<std::chrono::nanoseconds>(registers_.opened, 0ns, at);
        if (clock_ != nullptr) started_ = clock_->now() - at;
    }

private:
    struct Saved {
        static constexpr unsigned state_version = SystemControlBRegisters::state_version;
        SystemControlBRegisters registers{};
        std::chrono::nanoseconds now{};

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("registers", registers);
            archive.field("now", now);
        }
    };

    [[nodiscard]] std::chrono::nanoseconds now() const noexcept {
        return clock_ == nullptr ? std::chrono::nanoseconds(0) : clock_->now() - started_;
    }

    MachineClock* clock_ = nullptr;
    MachineClock::time_point started_{};
    SystemControlBRegisters registers_;
};

constexpr std::array port_a_places{AddressRange{.first = 0x92, .size = 1}};
constexpr std::array port_b_places{AddressRange{.first = 0x61, .size = 1}};

}  // namespace

std::shared_ptr<Device> make_port92(PlatformRequest reset) { return std::make_shared<SystemControlA>(std::move(reset)); }

std::shared_ptr<Device> make_port61() { return std::make_shared<SystemControlB>(); }

constinit const DeviceKind port92_kind{
    .name = port_a_name,
    .help = "A20 and reset",
    .keys = {},
    .ports = port_a_places,
    .size = 1,
    .by_default = true,
    .make = [](const DeviceOptions&, const DeviceHost& host) { return make_port92(reset_request(host)); },
};

constinit const DeviceKind port61_kind{
    .name = port_b_name,
    .help = "refresh bit and timer output",
    .keys = {},
    .ports = port_b_places,
    .size = 1,
    .by_default = false,
    .make = [](const DeviceOptions&, const DeviceHost&) { return make_port61(); },
};

}  // namespace asyncvm
