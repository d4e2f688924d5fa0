/// All the kinds of devices that a flat machine has: what --device, and the machine's defaults, are made from.
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/outcome.hpp>

#include "devices/device_request.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// What devices are attached to, and what they may ask of the program around them.
struct DeviceHost {
    Bus& ports;
    Bus& mmio;
    std::function<void(Outcome)> finish;  ///< Machine::finish()
    /// Throws Error. Devices that ask for the same spec may get the same object.
    std::function<std::shared_ptr<Chardev>(std::string_view spec)> open_chardev;
    Log log{};
    /// Whether RAM is at a guest-physical address: a device there would never be reached. Empty: not checked.
    std::function<bool(std::uint64_t address)> is_ram{};
};

struct DeviceKey {
    std::string_view name;
    std::string_view value;  ///< what stands after the `=`, for help: "SPEC"
    std::string_view help;   ///< one line
};

struct DeviceKind {
    std::string_view name;
    std::string_view help;            ///< one line
    std::string_view place;           ///< where it is unless port= or mmio= say otherwise, for help
    std::span<const DeviceKey> keys;  ///< its own, without port and mmio, which all have
    bool by_default;                  ///< a flat machine has one without being asked
};

/// In the order in which help shows them.
[[nodiscard]] std::span<const DeviceKind> device_kinds() noexcept;

/// Throws Error(usage) for an unknown name.
[[nodiscard]] const DeviceKind& device_kind(std::string_view name);

/// The keys that every device has: where it is.
[[nodiscard]] std::span<const DeviceKey> common_device_keys() noexcept;

/// What to attach, in order: the defaults, if they are wanted, then the requests. A request for a kind that is there by
/// default takes the default's place; further ones of the same kind are further devices.
[[nodiscard]] std::vector<DeviceRequest> plan_devices(std::vector<DeviceRequest> requests, bool defaults);

/// Makes a device and attaches it. Throws Error(usage) that names what there is instead of a wrong name, key or value, or
/// the device that already is where this one should be; and what host.open_chardev throws.
void add_device(const DeviceRequest& request, DeviceHost& host);

/// plan_devices({}, true), added.
void add_default_devices(DeviceHost& host);

/// COM1 to COM4, for `index` 0 to 3: ports 0x3f8, 0x2f8, 0x3e8, 0x2e8. Their interrupt lines are connected to nothing.
/// Throws Error(usage) for a fifth.
void add_uart(DeviceHost& host, unsigned index, std::shared_ptr<Chardev> chardev);

/// Several lines: for `--device help`.
[[nodiscard]] std::string device_help();

/// Several lines: for `--device NAME,help`. Throws Error(usage) for an unknown name.
[[nodiscard]] std::string device_help(std::string_view name);

/// The text to print, if the request is one for help, either way.
[[nodiscard]] std::optional<std::string> requested_help(const DeviceRequest& request);

}  // namespace asyncvm
