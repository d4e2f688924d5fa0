/// The real-time clock and CMOS RAM of a PC: a shell around RtcRegisters that knows the machine's clock.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"
#include "devices/rtc_registers.hpp"

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::chrono_literals;

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
        const std::lock_guard lock(mutex_);
        clock_ = &context.clock;
        gate_ = context.gate;
        line_ = context.irq(rtc_irq);
        started_ = clock_->now();
        registers_.start(now());
        fill_cmos(registers_, context.memory.ram_size(), cpus_);
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        {
            const std::lock_guard lock(mutex_);
            const auto value = static_cast<std::uint8_t>(access.data);
            if (access.offset == 0) {
                registers_.index = value;
                co_return;
            }
            const auto at = now();
            registers_.write(value, at);
            publish(at);
        }
        changed_.notify();
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        bool lowered = false;
        {
            const std::lock_guard lock(mutex_);
            if (access.offset == 0) {
                access.data = registers_.index;
                co_return;
            }
            const bool before = line_.level();
            const auto at = now();
            access.data = registers_.read(at);
            publish(at);
            lowered = before && !line_.level();
        }
        if (lowered) changed_.notify();  // the next interrupt has a time again
    }

    /// Sleeps until the next interrupt that the guest has enabled, without an end if there is none.
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

    void reset() override {
        {
            const std::lock_guard lock(mutex_);
            registers_.reset();
            publish(now());
        }
        changed_.notify();
    }

    void save(StateWriter& writer) override {
        const std::lock_guard lock(mutex_);
        const auto at = now();
        publish(at);  // the registers note what has happened until now
        Saved saved{registers_, at.running};
        save_state(writer, name(), saved);
    }

    void restore(StateReader& reader) override {
        Saved saved;
        restore_state(reader, name(), saved);
        {
            const std::lock_guard lock(mutex_);
            registers_ = saved.registers;
            if (clock_ != nullptr) started_ = clock_->now() - std::clamp(saved.running, 0ns, longest_run);
            publish(now());
        }
        changed_.notify();
    }

private:
    struct Saved {
        static constexpr unsigned state_version = RtcRegisters::state_version;
        RtcRegisters registers{};
        RtcRegisters::Duration running{};

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("registers", registers);
            archive.field("running", running);
        }
    };
    static constexpr RtcRegisters::Duration longest_run = 24h * 365 * 100;

    [[nodiscard]] RtcRegisters::Now now() const noexcept {
        if (clock_ == nullptr) return {};
        return {clock_->time_of_day().time_since_epoch(), clock_->now() - started_};
    }

    /// `at` is what the registers have just been asked or told with: a later time could bring an interrupt for which the
    /// line would not rise, because it has not fallen, or that nobody would wait for.
    void publish(RtcRegisters::Now at) noexcept { line_.set(registers_.interrupt_pending(at)); }

    [[nodiscard]] MachineClock::time_point attend() {
        const std::lock_guard lock(mutex_);
        const auto at = now();
        publish(at);
        const auto next = registers_.next_interrupt(at);
        return next && clock_ != nullptr ? started_ + at.running + *next : MachineClock::time_point::max();
    }

    const unsigned cpus_;
    std::mutex mutex_;  ///< run() is on another thread than the accesses
    RtcRegisters registers_;
    MachineClock* clock_ = nullptr;
    MachineClock::time_point started_{};
    std::shared_ptr<PauseGate> gate_;
    IrqLine line_;
    Event changed_;  ///< what run() waits for
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
