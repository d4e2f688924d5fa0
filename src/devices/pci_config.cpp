/// The PCI configuration ports of a machine without PCI, and the reset control register among them.
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"
#include "pci/config_ports.hpp"

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::string_view_literals;

constexpr auto pci_config_name = "pci-config"sv;

class PciConfigRegisters {
public:
    static constexpr unsigned state_version = 1;

    explicit PciConfigRegisters(bool mechanism = false) : mechanism_(mechanism) {}

    [[nodiscard]] std::uint32_t read(unsigned offset, unsigned size) const noexcept {
        if (offset == pci::ConfigPorts::reset_control && size == 1) return ports_.read_reset_control();
        if (mechanism_ && offset == pci::ConfigPorts::address && size == 4) return ports_.config_address();
        return static_cast<std::uint32_t>(all_ones(size));  // no device answers: a master abort
    }

    /// Returns whether it resets the machine.
    [[nodiscard]] bool write(unsigned offset, unsigned size, std::uint32_t value) noexcept {
        return ports_.write(offset, size, value);
    }

    void reset() noexcept { ports_ = {}; }

    template <class Archive>
    void fields(Archive& archive) {
        ports_.fields(archive);
    }

private:
    bool mechanism_;  ///< not the guest's to change
    pci::ConfigPorts ports_;
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
