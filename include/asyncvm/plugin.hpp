/// What makes a shared object a device for `--device ./FILE.so`: docs/plugins.md shows it from the source to the guest.
///
///     const asyncvm::DeviceKind kind{.name = "mydevice", .help = "…", .make = make_mydevice};
///     ASYNCVM_DEVICE_PLUGIN(kind)
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/device_context.hpp>
#include <asyncvm/device_kind.hpp>

#include <asio/version.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace asyncvm {

/// Which public interface the headers are. Raised when a plugin that was built before a change would misbehave after it:
/// test/plugin/abi.txt shows the changes, and its test asks for a new number.
inline constexpr std::uint32_t plugin_abi_version = 4;

/// One thing that program and plugin must agree on, and what one of them was compiled with.
struct PluginTrait {
    const char* name;
    std::uint64_t value;
};

/// What a plugin says of itself. The first three members stay where they are in all versions.
struct PluginInfo {
    std::uint32_t abi_version;
    std::uint32_t trait_count;
    const PluginTrait* traits;
    const char* compiler;    ///< for messages
    const void* shared;      ///< the address of plugin_shared, as the plugin sees it
    const DeviceKind* kind;  ///< lives as long as the plugin is loaded, which is until the process ends
};

/// There is one in a process, whoever looks at it. Not so in a plugin whose symbols are hidden or bound to itself: its
/// coroutines and Asio's would not know of the program's either.
inline int plugin_shared = 0;

/// What this compilation has. Not a function and not `inline`: the plugin's would be replaced by the program's, and would
/// agree with everything.
[[maybe_unused]] static constexpr std::array plugin_traits{
    PluginTrait{"ASIO_VERSION", ASIO_VERSION},
#ifdef _GLIBCXX_USE_CXX11_ABI
    PluginTrait{"_GLIBCXX_USE_CXX11_ABI", _GLIBCXX_USE_CXX11_ABI},
#else
    PluginTrait{"_GLIBCXX_USE_CXX11_ABI", 2},  // another standard library
#endif
#ifdef _GLIBCXX_DEBUG
    PluginTrait{"_GLIBCXX_DEBUG", 1},
#else
    PluginTrait{"_GLIBCXX_DEBUG", 0},
#endif
    PluginTrait{"sizeof(std::string)", sizeof(std::string)},
    PluginTrait{"sizeof(std::vector<int>)", sizeof(std::vector<int>)},
    PluginTrait{"sizeof(std::mutex)", sizeof(std::mutex)},
    PluginTrait{"sizeof(asio::io_context)", sizeof(asio::io_context)},
    PluginTrait{"sizeof(asyncvm::Access)", sizeof(Access)},
    PluginTrait{"sizeof(asyncvm::Device)", sizeof(Device)},
    PluginTrait{"sizeof(asyncvm::DeviceContext)", sizeof(DeviceContext)},
    PluginTrait{"sizeof(asyncvm::DeviceHost)", sizeof(DeviceHost)},
    PluginTrait{"sizeof(asyncvm::DeviceKind)", sizeof(DeviceKind)},
    PluginTrait{"sizeof(asyncvm::Event)", sizeof(Event)},
    PluginTrait{"sizeof(asyncvm::GuestMemory)", sizeof(GuestMemory)},
    PluginTrait{"sizeof(asyncvm::IrqLine)", sizeof(IrqLine)},
};

/// The name of the entry point, a function without parameters that returns a `const PluginInfo*`.
inline constexpr const char* plugin_entry_point = "asyncvm_device_plugin";

}  // namespace asyncvm

/// Once in a plugin, outside of any namespace. `device_kind` is a DeviceKind that lives as long as the process.
#define ASYNCVM_DEVICE_PLUGIN(device_kind)                                                                          \
    extern "C" __attribute__((visibility("default"))) const asyncvm::PluginInfo* asyncvm_device_plugin() noexcept { \
        static const asyncvm::PluginInfo info{asyncvm::plugin_abi_version,   asyncvm::plugin_traits.size(),         \
                                              asyncvm::plugin_traits.data(), __VERSION__,                           \
                                              &asyncvm::plugin_shared,       &(device_kind)};                       \
        return &info;                                                                                               \
    }
