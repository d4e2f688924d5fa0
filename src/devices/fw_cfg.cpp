/// QEMU's firmware configuration device: a shell around FwCfgRegisters.
#include <asyncvm/device_context.hpp>
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"
#include "devices/fw_cfg_registers.hpp"

#include <array>
#include <utility>

namespace asyncvm {

namespace {

constexpr std::string_view fw_cfg_name = "fw_cfg";

class FwCfg final : public Device {
public:
    FwCfg(unsigned cpus, std::vector<FwCfgFile> files)
        : cpus_(cpus), files_(std::move(files)), registers_(0, cpus_, files_) {}

    [[nodiscard]] std::string_view name() const noexcept override { return fw_cfg_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 2; }

    void attached(const DeviceContext& context) override {
        registers_ = FwCfgRegisters(context.memory.ram_size(), cpus_, std::move(files_));
    }

    /// The selector has 16 bits; narrower writes, and writes of data, are nothing.
    [[nodiscard]] awaitable<void> write(const Access& access) override {
        if (access.offset == 0 && access.size == 2) registers_.select(static_cast<std::uint16_t>(access.data));
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = all_ones(access.size);
        if (access.offset != 0) {
            std::byte byte{};
            registers_.read(std::span(&byte, 1));
            access.data = std::to_integer<std::uint64_t>(byte);
        }
        co_return;
    }

    /// INSB, with which firmware reads whole files.
    [[nodiscard]] awaitable<void> read_string(const Access& first, std::span<std::byte> data) override {
        if (first.offset == 0 || first.size != 1) {
            co_await Device::read_string(first, data);
        } else {
            registers_.read(data);
        }
    }

    void reset() override { registers_.reset(); }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), registers_); }

private:
    const unsigned cpus_;
    std::vector<FwCfgFile> files_;  ///< until attached() knows the memory's size
    FwCfgRegisters registers_;
};

constexpr std::array fw_cfg_ports{AddressRange{.first = 0x510, .size = 2}};
constexpr std::array fw_cfg_keys{DeviceKey{"cpus", "N", "what it says of the processors, 1 to 255 (default 1)"}};

}  // namespace

std::shared_ptr<Device> make_fw_cfg(unsigned cpus, std::vector<FwCfgFile> files) {
    return std::make_shared<FwCfg>(cpus, std::move(files));
}

constinit const DeviceKind fw_cfg_kind{
    .name = fw_cfg_name,
    .help = "QEMU's firmware configuration",
    .keys = fw_cfg_keys,
    .ports = fw_cfg_ports,
    .size = 2,
    .by_default = false,
    .make = [](const DeviceOptions& options,
               const DeviceHost&) { return make_fw_cfg(static_cast<unsigned>(options.number("cpus", 255).value_or(1))); },
};

}  // namespace asyncvm
