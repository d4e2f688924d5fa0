/// The host bridge: from an access at the ports or at ECAM to the configuration space of a function.
#include <asyncvm/error.hpp>
#include <asyncvm/pci.hpp>
#include <asyncvm/state.hpp>

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "pci/config_ports.hpp"
#include "pci/config_space.hpp"

namespace asyncvm::pci {

namespace {

constexpr std::string_view host_name = "pci-host";

/// The bridge's own: QEMU's generic host bridge, of which no kernel expects more than that it is one.
constexpr ConfigSpace::Identity host_identity{.vendor = 0x1b36,
                                              .device = 0x0008,
                                              .revision = 0,
                                              .class_code = 0x06'0000,
                                              .subsystem_vendor = 0x1af4,
                                              .subsystem = 0x1100};

/// A register of bus 0.
struct Target {
    unsigned slot = 0;
    unsigned function = 0;
    unsigned offset = 0;
};

struct Saved {
    static constexpr unsigned state_version = 1;
    ConfigPorts ports{};
    ConfigSpace space{};

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("ports", ports);
        archive.field("configuration space", space);
    }
};

class Host final : public PciHost {
public:
    explicit Host(PlatformRequest reset) : reset_(std::move(reset)) {}

    [[nodiscard]] std::string_view name() const noexcept override { return host_name; }
    [[nodiscard]] unsigned max_access_size() const noexcept override { return 4; }

    void add(unsigned slot, std::shared_ptr<PciFunction> function) override {
        if (slot == 0 || slot > most_pci_slots) {
            throw Error(ErrorKind::usage, fmt::format("a PCI bus has slots 1 to {}, not {}", most_pci_slots, slot));
        }
        if (functions_[slot]) {
            throw Error(ErrorKind::usage, fmt::format("cannot put {} into PCI slot {}: {} is there", function->name(), slot,
                                                      functions_[slot]->name()));
        }
        functions_[slot] = std::move(function);
    }

    [[nodiscard]] awaitable<void> read(Access& access) override {
        const auto offset = static_cast<unsigned>(access.offset);
        access.data = all_ones(access.size);  // where no device answers: a master abort
        if (access.space == Space::port && offset < ConfigPorts::data) {
            if (offset == ConfigPorts::address && access.size == 4) access.data = state_.ports.config_address();
            if (offset == ConfigPorts::reset_control && access.size == 1) access.data = state_.ports.read_reset_control();
            co_return;
        }
        const auto target = target_of(access);
        if (!target) co_return;
        if (target->slot == 0) {
            access.data = state_.space.read(target->offset, access.size);
        } else if (PciFunction* const function = functions_[target->slot].get(); function != nullptr) {
            access.data = co_await function->read_config(target->offset, access.size);
        }
    }

    [[nodiscard]] awaitable<void> write(const Access& access) override {
        const auto offset = static_cast<unsigned>(access.offset);
        const auto value = static_cast<std::uint32_t>(access.data);
        if (access.space == Space::port && offset < ConfigPorts::data) {
            if (state_.ports.write(offset, access.size, value)) {
                reset_(fmt::format("the guest wrote {:#04x} to port {:#x} (reset control)", value, access.address));
            }
            co_return;
        }
        const auto target = target_of(access);
        if (!target) co_return;
        if (target->slot == 0) {
            state_.space.write(target->offset, access.size, value);
        } else if (PciFunction* const function = functions_[target->slot].get(); function != nullptr) {
            co_await function->write_config(target->offset, access.size, value);
        }
    }

    void reset() override { state_ = power_on(); }
    void save(StateWriter& writer) override { save_state(writer, name(), state_); }
    void restore(StateReader& reader) override {
        restore_state(reader, name(), state_);
        state_.space.adopt(power_on().space);
    }

private:
    static Saved power_on() { return {.ports = {}, .space = ConfigSpace(host_identity)}; }

    /// Nothing for what no function can answer: another bus, another function, an address that is off or not aligned.
    [[nodiscard]] std::optional<Target> target_of(const Access& access) const noexcept {
        constexpr unsigned slot_mask = 0x1f, function_mask = 7, bus_mask = 0xff;
        const auto offset = static_cast<unsigned>(access.offset);
        Target target;
        if (access.space == Space::port) {
            const std::uint32_t address = state_.ports.config_address();
            if ((address & ConfigPorts::enabled) == 0 || (address >> 16 & bus_mask) != 0) return std::nullopt;
            target = {.slot = address >> 11 & slot_mask,
                      .function = address >> 8 & function_mask,
                      .offset = (address & 0xff) + (offset - ConfigPorts::data)};
        } else {
            target = {.slot = offset >> 15 & slot_mask, .function = offset >> 12 & function_mask, .offset = offset & 0xfff};
        }
        // The functions are conventional PCI's: they have no extended configuration space.
        const bool answers = target.function == 0 && target.offset < ConfigSpace::size && target.offset % access.size == 0;
        return answers ? std::optional(target) : std::nullopt;
    }

    const PlatformRequest reset_;
    Saved state_ = power_on();
    std::array<std::shared_ptr<PciFunction>, most_pci_slots + 1> functions_{};
};

}  // namespace

}  // namespace asyncvm::pci

std::shared_ptr<asyncvm::PciHost> asyncvm::make_pci_host(PlatformRequest reset) {
    return std::make_shared<pci::Host>(std::move(reset));
}
