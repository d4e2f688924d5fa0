/// The kinds of devices that come with the library, each in its own file: the catalogue collects them.
#pragma once

#include <asyncvm/device_kind.hpp>
#include <asyncvm/devices.hpp>
#include <asyncvm/state.hpp>

#include <cstdint>
#include <memory>
#include <string_view>

namespace asyncvm {

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
extern const DeviceKind remote_kind;

/// Throws Error(usage) if a guest never reaches a device `name` at `range` of its memory.
void check_place(const DeviceHost& host, std::string_view name, AddressRange range);

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
