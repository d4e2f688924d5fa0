/// The devices of a machine, as the options have them.
#pragma once

#include "cli/options.hpp"
#include "cli/setup.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/boot.hpp>
#include <asyncvm/bus.hpp>
#include <asyncvm/chardev.hpp>
#include <asyncvm/devices.hpp>
#include <asyncvm/log.hpp>
#include <asyncvm/observer.hpp>
#include <asyncvm/outcome.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace asyncvm::control {
class Steering;
}

namespace asyncvm::cli {

/// What a device needs a chardev for.
struct StreamRequest {
    std::string_view spec;  ///< as parse_chardev_spec() takes it
    std::string label;      ///< "serial0" to "serial3", "console0" and so on, "port NAME", or the device's name
    bool reads = false;     ///< a serial port, a console, a virtio port; the other devices only write
};

struct Wiring {
    Bus& ports;
    Bus& mmio;
    std::function<std::shared_ptr<Chardev>(const StreamRequest&)> open_stream;
    std::function<void(Outcome)> finish;
    const Boot* boot = nullptr;  ///< null in a dry run
    PlatformRequest reset{};     ///< empty: a reset ends the machine
    Log log{};
    asio::io_context* loop = nullptr;       ///< the device loop; null in a dry run
    control::Steering* steering = nullptr;  ///< hears of each disk; null: there is no control socket
    std::shared_ptr<Observer> observer{};   ///< hears of disks that change; null: nobody does
    /// DeviceHost::before_guest
    std::function<void(std::function<awaitable<void>(asio::io_context& loop)>)> before_guest{};
};

/// Makes the devices and attaches them: serial ports first. Throws Error(usage), and what `open_stream` throws.
void attach_devices(const Options& options, const Setup& setup, const Wiring& wiring);

/// attach_devices() on buses that are thrown away, with nothing opened: finds every mistake in the options before the
/// program has touched anything. Throws Error(usage).
void dry_run(const Options& options, const Setup& setup, asio::io_context& loop);

}  // namespace asyncvm::cli
