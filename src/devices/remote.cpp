/// A device in another process, as --device has it.
#include <asyncvm/error.hpp>
#include <asyncvm/remote.hpp>

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "devices/device_kind.hpp"
#include "text/parse.hpp"

namespace asyncvm {

namespace {

constexpr std::string_view remote_name = "remote";

constexpr std::array<DeviceKey, 12> remote_keys{{
    {"port", "RANGES", "at ports: 0x300-0x307, or several with a colon between: 0x1f0-0x1f7:0x3f6"},
    {"mmio", "RANGES", "in memory, where no RAM is: 0xd0000000-0xd0000fff"},
    {"irq", "LINES", "interrupt lines 0 to 23 that it may drive: 5, or 5:6"},
    {"connect", "PLACE", "connects to it: unix:PATH or tcp:HOST:PORT"},
    {"listen", "PLACE", "waits for it to connect: unix:PATH or tcp:[HOST:]PORT"},
    {"exec", "COMMAND", "starts it: standard input and output of sh -c COMMAND are the connection"},
    {"memory", "ACCESS", "the guest's memory: none (default), ro, rw, or map (needs --memory-share on)"},
    {"timeout", "MS", "how long it may take for a reply (default 1000)"},
    {"reconnect", "MS", "when it is gone, tried again after so long (default 500), or off"},
    {"lost", "EFFECT", "without it: ones (reads are all-ones, default), or wait (accesses wait)"},
    {"posted", "SWITCH", "off: each write waits for its reply; on (default): not, if it wants that"},
    {"name", "TEXT", "of the device in messages and statistics, instead of the one that it says"},
}};

[[noreturn]] void complain(std::string_view key, std::string_view value, std::string_view what) {
    throw Error(ErrorKind::usage, fmt::format("device {}: {}={} {}", remote_name, key, value, what));
}

std::vector<std::string_view> split_at_colons(std::string_view text) {
    std::vector<std::string_view> parts;
    for (;;) {
        const auto colon = text.find(':');
        parts.push_back(text.substr(0, colon));
        if (colon == text.npos) return parts;
        text.remove_prefix(colon + 1);
    }
}

std::vector<AddressRange> ranges_of(const DeviceOptions& options, std::string_view key, std::uint64_t last_address) {
    std::vector<AddressRange> ranges;
    const auto text = options.text(key);
    if (!text) return ranges;
    for (const auto part : split_at_colons(*text)) {
        const auto dash = part.find('-');
        const auto first = parse_number(part.substr(0, dash));
        const auto last = dash == part.npos ? first : parse_number(part.substr(dash + 1));
        if (!first || !last || *last < *first || *last > last_address) {
            complain(key, *text,
                     fmt::format("is no list of ranges FIRST-LAST up to {:#x} (for example 0x300-0x307)", last_address));
        }
        ranges.push_back({.first = *first, .size = *last - *first + 1});
    }
    return ranges;
}

std::vector<unsigned> irqs_of(const DeviceOptions& options) {
    constexpr std::uint64_t last_irq = 23;
    std::vector<unsigned> irqs;
    const auto text = options.text("irq");
    if (!text) return irqs;
    for (const auto part : split_at_colons(*text)) {
        const auto irq = parse_number(part);
        if (!irq || *irq > last_irq) complain("irq", *text, "is no list of lines from 0 to 23 (for example 5:6)");
        irqs.push_back(static_cast<unsigned>(*irq));
    }
    return irqs;
}

std::optional<std::chrono::milliseconds> time_of(const DeviceOptions& options, std::string_view key) {
    constexpr std::uint64_t most = 24 * 3600 * 1000;
    const auto number = options.number(key, most);
    if (!number) return std::nullopt;
    if (*number == 0) complain(key, "0", "would never rest (give milliseconds)");
    return std::chrono::milliseconds(*number);
}

RemoteSpec spec_of(const DeviceOptions& options) {
    constexpr std::uint64_t last_memory = (std::uint64_t{1} << 52) - 1;
    constexpr std::array<std::string_view, 4> accesses{"none", "ro", "rw", "map"};
    constexpr std::array<std::string_view, 2> effects{"ones", "wait"};
    constexpr std::array<std::string_view, 2> switches{"on", "off"};
    RemoteSpec spec;
    unsigned ways = 0;
    for (const auto& [key, how] : {std::pair{"connect", RemoteSpec::How::connect},
                                   std::pair{"listen", RemoteSpec::How::listen}, std::pair{"exec", RemoteSpec::How::exec}}) {
        const auto place = options.text(key);
        if (!place) continue;
        spec.how = how;
        spec.place = *place;
        ++ways;
    }
    if (ways != 1) {
        throw Error(ErrorKind::usage, fmt::format("device {}: give one of connect=, listen= and exec= (for example "
                                                  "exec=./device.py)",
                                                  remote_name));
    }
    spec.ports = ranges_of(options, "port", 0xffff);
    spec.mmio = ranges_of(options, "mmio", last_memory);
    spec.irqs = irqs_of(options);
    spec.memory = static_cast<RemoteSpec::Memory>(options.choice("memory", accesses));
    if (const auto timeout = time_of(options, "timeout")) spec.timeout = *timeout;
    if (options.text("reconnect") == "off") {
        spec.reconnect.reset();
    } else if (const auto pause = time_of(options, "reconnect")) {
        spec.reconnect = *pause;
    }
    spec.lost_waits = options.choice("lost", effects) == 1;
    spec.posted = options.choice("posted", switches) == 0;
    spec.name = options.text("name").value_or("");
    return spec;
}

}  // namespace

constinit const DeviceKind remote_kind{
    .name = remote_name,
    .help = "a device in another process, in any language",
    .keys = remote_keys,
    .ports = {},
    .size = 0,
    .by_default = false,
    .movable = false,
    .make = [](const DeviceOptions& options, const DeviceHost& host) -> std::shared_ptr<Device> {
        const RemoteSpec spec = spec_of(options);
        auto device = make_remote_device(spec, host.log);
        for (const auto& range : spec.mmio) {
            check_place(host, remote_name, range);
            host.mmio.attach(range, device);
        }
        for (const auto& range : spec.ports) host.ports.attach(range, device);
        if (host.before_guest) host.before_guest([device](asio::io_context& loop) { return device->ready(loop); });
        return device;
    },
};

}  // namespace asyncvm
