/// The CRT controller of a colour text display: the registers, without a display. Kernels that print to the text screen keep
/// the cursor's place here, and read it back before each character.
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <array>

namespace asyncvm {

namespace {

using namespace std::string_view_literals;

constexpr auto crtc_name = "crtc"sv;

/// Source: IBM Video Subsystem Technical Reference, "CRT Controller Registers": an index, and 25 registers behind it.
struct CrtcRegisters {
    static constexpr unsigned index_port = 0;
    static constexpr unsigned state_version = 1;

    std::uint8_t index = 0;
    std::array<std::uint8_t, 25> values{};

    [[nodiscard]] std::uint8_t read(unsigned offset) const noexcept {
        if (offset == index_port) return index;
        return index < values.size() ? values[index] : std::uint8_t{0};
    }

    void write(unsigned offset, std::uint8_t value) noexcept {
        if (offset == index_port) {
            index = value;
        } else if (index < values.size()) {
            values[index] = value;
        }
    }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("index", index);
        archive.field("values", values);
    }
};

/// A word at the index port is an index and a value: the bus divides it.
class Crtc final : public Device {
public:
    [[nodiscard]] std::string_view name() const noexcept override { return crtc_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 1; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        registers_.write(static_cast<unsigned>(access.offset), static_cast<std::uint8_t>(access.data));
        co_return;
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = registers_.read(static_cast<unsigned>(access.offset));
        co_return;
    }

    void reset() override { registers_ = {}; }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), registers_); }

private:
    CrtcRegisters registers_;
};

constexpr std::array crtc_ports{AddressRange{.first = 0x3d4, .size = 2}};

}  // namespace

std::shared_ptr<Device> make_crtc() { return std::make_shared<Crtc>(); }

constinit const DeviceKind crtc_kind{
    .name = crtc_name,
    .help = "keeps the text cursor's place; there is no display",
    .keys = {},
    .ports = crtc_ports,
    .size = 2,
    .by_default = false,
    .make = [](const DeviceOptions&, const DeviceHost&) -> std::shared_ptr<Device> { return make_crtc(); },
};

}  // namespace asyncvm
