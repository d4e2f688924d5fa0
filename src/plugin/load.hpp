/// Shared objects that bring a kind of device.
#pragma once

#include <asyncvm/device_kind.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace asyncvm {
struct PluginInfo;
}

namespace asyncvm::plugin {

/// A device's name with a slash is a file: "./mydevice.so".
[[nodiscard]] constexpr bool names_file(std::string_view device) noexcept {
    return device.find('/') != std::string_view::npos;
}

/// Whether this process can have plugins: its executable shows them the symbols of the library.
[[nodiscard]] bool can_load() noexcept;

/// The kind of device that the shared object `path` brings. It stays loaded until the process ends. Throws Error(usage) with
/// the reason if it is no such file, was compiled for something else, or describes a kind that can't be.
[[nodiscard]] const DeviceKind& load(const std::string& path);

/// Why a plugin that says this of itself can't be used, as words for a message; nothing if it can. Pure.
[[nodiscard]] std::optional<std::string> mismatch(const PluginInfo& info);

}  // namespace asyncvm::plugin
