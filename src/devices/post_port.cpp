/// The POST port: firmware writes here how far its power-on self-test has come.
#include <asyncvm/state.hpp>

#include "devices/device_kind.hpp"

#include <fmt/format.h>

#include <array>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::string_view_literals;

constexpr auto post_port_name = "post"sv;

struct PostPortRegisters {
    static constexpr unsigned state_version = 1;
    std::uint64_t code = 0;

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("code", code);
    }
};

/// Remembers the last value written; reads give it back. Kernels also write to it to let a microsecond pass, so a write does
/// nothing else, unless a trace was asked for.
class PostPort final : public Device {
public:
    explicit PostPort(Log trace) : trace_(std::move(trace)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return post_port_name; }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const auto before = std::exchange(registers_.code, access.data);
        if (trace_ && before != access.data) trace_(fmt::format("POST code {:#04x}", access.data));
        co_return;
    }

    [[nodiscard]] bool posts(std::uint64_t) const noexcept override { return true; }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        access.data = registers_.code;
        co_return;
    }

    void reset() override { registers_ = {}; }
    void save(StateWriter& writer) override { save_state(writer, name(), registers_); }
    void restore(StateReader& reader) override { restore_state(reader, name(), registers_); }

private:
    const Log trace_;
    PostPortRegisters registers_;
};

constexpr std::array post_port_keys{DeviceKey{"trace", "off|on", "log each new code on stderr (default off)"}};
constexpr std::array post_port_ports{whole_port(0x80)};

}  // namespace

std::shared_ptr<Device> make_post_port(Log trace) { return std::make_shared<PostPort>(std::move(trace)); }

constinit const DeviceKind post_port_kind{
    .name = post_port_name,
    .help = "remembers power-on self-test codes",
    .keys = post_port_keys,
    .ports = post_port_ports,
    .size = 8,
    .by_default = true,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        constexpr std::array states{"off"sv, "on"sv};
        return make_post_port(options.choice("trace", states) == 0 ? Log() : host.log);
    },
};

}  // namespace asyncvm
