/// The real-time clock and CMOS RAM of a PC: RtcRegisters on two ports.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/clocked_registers.hpp"
#include "devices/device_kind.hpp"
#include "devices/rtc_registers.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

namespace asyncvm {

namespace {

constexpr std::string_view rtc_name = "rtc";
constexpr unsigned rtc_irq = 8;

/// What a BIOS leaves in the CMOS RAM for kernels and firmware that look for it there: the places are those of SeaBIOS and
/// of Ralf Brown's list of CMOS memory.
void fill_cmos(RtcRegisters& registers, std::uint64_t ram, unsigned cpus) noexcept {
    constexpr std::uint64_t kib = 1024;
    constexpr std::uint64_t mib = 1024 * kib;
    constexpr std::uint64_t unit = 64 * kib;
    const auto put = [&registers](unsigned at, std::uint64_t value, unsigned bytes) {
        for (unsigned i = 0; i < bytes; ++i) registers.set_ram(at + i, static_cast<std::uint8_t>(value >> (8 * i)));
    };
    const auto low = std::min(ram, GuestMemory::low_limit);
    const auto above_1m = std::min<std::uint64_t>((low > mib ? low - mib : 0) / kib, 0xffff);
    put(0x14, 0x06, 1);  // equipment: a coprocessor and a pointing device's place
    put(0x15, 640, 2);   // KiB
    put(0x17, above_1m, 2);
    put(0x30, above_1m, 2);
    put(0x34, (low > 16 * mib ? low - 16 * mib : 0) / unit, 2);
    put(0x5b, (ram - low) / unit, 3);
    put(0x5f, std::clamp(cpus, 1U, 256U) - 1, 1);
    unsigned sum = 0;
    for (unsigned at = 0x10; at < 0x2e; ++at) sum += registers.ram(at);
    registers.set_ram(0x2e, static_cast<std::uint8_t>(sum >> 8));
    registers.set_ram(0x2f, static_cast<std::uint8_t>(sum));
}

class Rtc final : public Device {
public:
    explicit Rtc(unsigned cpus) : cpus_(cpus) {}

    [[nodiscard]] std::string_view name() const noexcept override { return rtc_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }

    void attached(const DeviceContext& context) override {
        clocked_.attached(context, rtc_irq);
        clocked_.act([this, ram = context.memory.ram_size()](RtcRegisters& registers, RtcRegisters::Now now) {
            registers.start(now);
            fill_cmos(registers, ram, cpus_);
        });
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const auto value = static_cast<std::uint8_t>(access.data);
        clocked_.act([&access, value](RtcRegisters& registers, RtcRegisters::Now now) {
            if (access.offset == 0) {
                registers.index = value;
            } else {
                registers.write(value, now);
            }
        });
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = clocked_.act([&access](RtcRegisters& registers, RtcRegisters::Now now) {
            return access.offset == 0 ? registers.index : registers.read(now);
        });
        co_return;
    }

    [[nodiscard]] awaitable<void> run() override { return clocked_.run(); }

    void reset() override {
        clocked_.act([](RtcRegisters& registers, RtcRegisters::Now) { registers.reset(); });
    }

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
    struct Saved : ClockedRegisters<RtcRegisters>::Saved {
        static constexpr unsigned state_version = RtcRegisters::state_version;

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("registers", registers);
            archive.field("running", running);
        }
    };

    const unsigned cpus_;
    ClockedRegisters<RtcRegisters> clocked_;
};

constexpr std::array rtc_ports{AddressRange{.first = 0x70, .size = 2}};
constexpr std::array rtc_keys{DeviceKey{"cpus", "N", "what it says of the processors, 1 to 256 (default 1)"}};

}  // namespace

std::shared_ptr<Device> make_rtc(unsigned cpus) { return std::make_shared<Rtc>(cpus); }

constinit const DeviceKind rtc_kind{
    .name = rtc_name,
    .help = "real-time clock and CMOS RAM",
    .keys = rtc_keys,
    .ports = rtc_ports,
    .size = 2,
    .by_default = false,
    .make = [](const DeviceOptions& options,
               const DeviceHost&) { return make_rtc(static_cast<unsigned>(options.number("cpus", 256).value_or(1))); },
};

}  // namespace asyncvm
