/// What a kind of device says of itself, in its own file: the catalogue collects the kinds.
#pragma once

#include <asyncvm/devices.hpp>
#include <asyncvm/state.hpp>

#include "devices/device_request.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

namespace asyncvm {

struct DeviceKey {
    std::string_view name;
    std::string_view value;  ///< what stands after the `=`, for help: "SPEC"
    std::string_view help;   ///< one line
};

struct DeviceKind {
    std::string_view name;
    std::string_view help;                ///< one line
    std::span<const DeviceKey> keys;      ///< its own, without port and mmio, which all movable kinds have
    std::span<const AddressRange> ports;  ///< where it is unless port= or mmio= say otherwise
    std::uint64_t size;                   ///< the number of addresses that it takes in memory
    bool by_default;                      ///< a machine has one without being asked
    bool movable = true;                  ///< port= and mmio= put it elsewhere
    /// Throws Error(usage) for a wrong value, and what host.open_chardev throws.
    std::shared_ptr<Device> (*make)(const DeviceOptions& options, const DeviceHost& host);
};

extern const DeviceKind uart16550_kind;
extern const DeviceKind counter_kind;
extern const DeviceKind debug_console_kind;
extern const DeviceKind exit_port_kind;
extern const DeviceKind post_port_kind;
extern const DeviceKind power_ports_kind;
extern const DeviceKind pci_config_kind;
extern const DeviceKind port92_kind;
extern const DeviceKind port61_kind;
extern const DeviceKind acpi_pm_kind;
extern const DeviceKind i8042_kind;
extern const DeviceKind rtc_kind;
extern const DeviceKind fw_cfg_kind;
extern const DeviceKind pvpanic_kind;
extern const DeviceKind testdev_kind;
extern const DeviceKind sleep_port_kind;
extern const DeviceKind crtc_kind;

/// A device that a guest can't tell from a new one: its saved state has no fields.
class StatelessDevice : public Device {
public:
    void save(StateWriter& writer) override {
        NoState nothing;
        save_state(writer, name(), nothing);
    }

    void restore(StateReader& reader) override {
        NoState nothing;
        restore_state(reader, name(), nothing);
    }
};

/// One port that takes accesses of any width.
constexpr AddressRange whole_port(std::uint64_t port) { return {.first = port, .size = 1, .whole = true}; }

/// What the device calls if the guest asks for it: never an empty function.
[[nodiscard]] PlatformRequest power_off_request(const DeviceHost& host);
[[nodiscard]] PlatformRequest reset_request(const DeviceHost& host);

/// The chardev that chardev= names. The default is the serial port's too: one terminal shows everything that the guest
/// prints.
[[nodiscard]] inline std::shared_ptr<Chardev> open_output(const DeviceOptions& options, const DeviceHost& host) {
    return host.open_chardev(options.text("chardev").value_or("stdio"));
}

/// Whether writes to a chardev may be posted. A posted write that has to wait for room makes all vCPUs wait, so that writes
/// are no longer posted long before the queue is full: from the decision until KVM collects no more a vCPU can post some
/// tens of KiB (a counter's line is 31 times as long as the write).
[[nodiscard]] inline bool room_to_post(const Chardev& chardev) noexcept {
    constexpr std::uint64_t enough = 256 << 10;
    return chardev.room() >= enough;
}

}  // namespace asyncvm
