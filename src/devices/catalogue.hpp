/// The kinds of devices: --device and the defaults of a machine are made from them.
#pragma once

#include "devices/device_kind.hpp"
#include "devices/device_request.hpp"

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

/// In the order in which help shows them.
[[nodiscard]] std::span<const DeviceKind* const> device_kinds() noexcept;

/// Throws Error(usage) for an unknown name.
[[nodiscard]] const DeviceKind& device_kind(std::string_view name);

/// The devices to attach, in order: the defaults, if `defaults`, then the requests. A request for a kind that is there by
/// default replaces the default; further requests of the same kind are further devices.
[[nodiscard]] std::vector<DeviceRequest> plan_devices(std::vector<DeviceRequest> requests, bool defaults);

/// Whose place the device of a request takes: the kind's name, or that of the device that it replays. Throws Error(usage) if
/// a recording can't be read.
[[nodiscard]] std::string place_taken_by(const DeviceRequest& request);

/// add_device() of <asyncvm/devices.hpp>, for a request that has been parsed.
void add_device(const DeviceHost& host, const DeviceRequest& request);

/// Several lines: for `--device help`.
[[nodiscard]] std::string device_help();

/// Several lines: for `--device NAME,help`. Throws Error(usage) for an unknown name.
[[nodiscard]] std::string device_help(std::string_view name);

/// The text to print, if the request is one for help, either way.
[[nodiscard]] std::optional<std::string> requested_help(const DeviceRequest& request);

}  // namespace asyncvm
