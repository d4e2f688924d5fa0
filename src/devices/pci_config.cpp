/// The PCI configuration ports of a machine without PCI, and the reset control register among them.
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::string_view_literals;

constexpr auto pci_config_name = "pci-config"sv;

/// Sources: PCI Local Bus specification 3.0, 3.2.2.3.2 (configuration mechanism 1: CONFIG_ADDRESS takes 32-bit accesses
/// only, narrower ones pass to what else is there); Intel 82371AB (PIIX4) data sheet, 4.1.6 (reset control, 8 bits at
/// 0xcf9).
class PciConfigRegisters {
public:
    static constexpr unsigned address = 0;        ///< 0xcf8
    static constexpr unsigned reset_control = 1;  ///< 0xcf9

    static constexpr std::uint32_t address_bits = 0x80ff'fffc;  ///< 31: enable; the others reserved
    static constexpr std::uint8_t reset_cpu = 1 << 2;           ///< resets when it rises
    static constexpr std::uint8_t reset_bits = 0x0e;            ///< 1: hard instead of soft, 3: power cycle
    static constexpr unsigned state_version = 1;

    explicit PciConfigRegisters(bool mechanism = false) : mechanism_(mechanism) {}

    [[nodiscard]] std::uint32_t read(unsigned offset, unsigned size) const noexcept {
        if (offset == reset_control && size == 1) return reset_control_;
        if (mechanism_ && offset == address && size == 4) return address_;
        return static_cast<std::uint32_t>(all_ones(size));  // no device answers: a master abort
    }

    /// Returns whether it resets the machine.
    [[nodiscard]] bool write(unsigned offset, unsigned size, std::uint32_t value) noexcept {
        if (offset == address && size == 4) address_ = value & address_bits;
        if (offset != reset_control || size != 1) return false;
        const auto before = std::exchange(reset_control_, static_cast<std::uint8_t>(value & reset_bits));
        return (reset_control_ & ~before & reset_cpu) != 0;
    }

    void reset() noexcept { *this = PciConfigRegisters(mechanism_); }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("address", address_);
        archive.field("reset control", reset_control_, reset_bits);
    }

private:
    bool mechanism_;  ///< not the guest's to change
    std::uint32_t address_ = 0;
    std::uint8_t reset_control_ = 0;
};

class PciConfig final : public Device {
public:
    PciConfig(PlatformRequest reset, bool mechanism) : reset_(std::move(reset)), registers_(mechanism) {}

    [[nodiscard]] std::string_view name() const noexcept override { return pci_config_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const bool resets =
            registers_.write(static_cast<unsigned>(access.offset), access.size, static_cast<std::uint32_t>(access.data));
        if (resets) {
            reset_(fmt::format("the guest wrote {:#04x} to {} {:#x} (reset control)", access.data,
                               access.space == Space::port ? "port" : "address", access.address));
        }
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = registers_.read(static_cast<unsigned>(access.offset), access.size);
        co_return;
    }

    void reset() override { registers_.reset(); }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), registers_); }

private:
    const PlatformRequest reset_;
    PciConfigRegisters registers_;
};

constexpr std::array pci_config_keys{
    DeviceKey{"mechanism", "off|on", "whether 0xcf8 reads back, as a host bridge's (default off: kernels do not scan)"},
};
// Whole: an access at 0xcfd or 0xcff may be wider than what follows, and must not fall apart into bytes.
constexpr std::array pci_config_ports{AddressRange{.first = 0xcf8, .size = 8, .whole = true}};

}  // namespace

std::shared_ptr<Device> make_pci_config(PlatformRequest reset, bool mechanism) {
    return std::make_shared<PciConfig>(std::move(reset), mechanism);
}

constinit const DeviceKind pci_config_kind{
    .name = pci_config_name,
    .help = "a PCI bus without devices; 0xcf9 resets",
    .keys = pci_config_keys,
    .ports = pci_config_ports,
    .size = 8,
    .by_default = true,
    .make =
        [](const DeviceOptions& options, const DeviceHost& host) {
            constexpr std::array states{"off"sv, "on"sv};
            return make_pci_config(reset_request(host), options.choice("mechanism", states) != 0);
        },
};

}  // namespace asyncvm
