/// Devices that another process is, in any language: each access is a message on a socket. docs/remote-devices.md
#pragma once

#include <asyncvm/bus.hpp>
#include <asyncvm/device.hpp>
#include <asyncvm/log.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

struct RemoteSpec {
    enum class How : std::uint8_t {
        connect,  ///< to a socket that the device listens at
        listen,   ///< for the device
        exec,     ///< a program whose standard input and output are the connection
    };
    enum class Memory : std::uint8_t {
        none,        ///< the device can't reach the guest's memory
        read_only,   ///< it may ask for it
        read_write,  ///< and change it
        map,         ///< and gets the descriptors of the memory itself; needs MachineConfig::memory_share
    };

    How how = How::connect;
    std::string place{};  ///< "unix:PATH", "tcp:[HOST:]PORT", or the command
    std::vector<AddressRange> ports{};
    std::vector<AddressRange> mmio{};
    std::vector<unsigned> irqs{};  ///< 0 to 23: the device's lines, in their order
    Memory memory = Memory::none;
    std::chrono::milliseconds timeout{1000};  ///< how long the device may take for a reply
    /// Between the end of a connection and the next attempt; nothing: there is one connection only.
    std::optional<std::chrono::milliseconds> reconnect = std::chrono::milliseconds(500);
    bool lost_waits = false;  ///< without a device accesses wait, instead of reading all-ones
    bool posted = true;       ///< the device may have its writes posted
    std::string name{};       ///< for messages and statistics; empty: what the device says

    bool operator==(const RemoteSpec&) const = default;
};

/// Of all ranges together.
inline constexpr std::size_t most_remote_ranges = 16;
inline constexpr std::size_t most_remote_irqs = 16;

/// A device whose process may come and go.
class RemoteDevice : public Device {
public:
    /// Completes when the device's process has said who it is: what a program waits for before it runs the guest. Otherwise
    /// that happens at the run's begin, and accesses wait for it. `loop` is the machine's device loop. Once. Throws
    /// Error(host) if there is no process, or none that speaks the protocol; listening, it waits for one without end.
    [[nodiscard]] virtual awaitable<void> ready(asio::io_context& loop) = 0;
};

/// Nothing is opened before ready(). The device is attached to the ranges of `spec`. `log` gets a line when the process
/// comes and goes, and what it says itself, on any thread. Throws Error(usage) for what the fields' comments exclude.
[[nodiscard]] std::shared_ptr<RemoteDevice> make_remote_device(RemoteSpec spec, Log log);

}  // namespace asyncvm
