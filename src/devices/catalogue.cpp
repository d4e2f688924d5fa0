#include "devices/catalogue.hpp"

#include <asyncvm/error.hpp>

#include "plugin/load.hpp"
#include "record/player.hpp"
#include "record/recorder.hpp"
#include "record/recording.hpp"
#include "text/suggest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <exception>
#include <iterator>
#include <utility>

namespace asyncvm {

namespace {

/// A new kind is a file of its own and a line here.
constexpr std::array kinds{
    &uart16550_kind,   &counter_kind,    &debug_console_kind, &exit_port_kind, &post_port_kind, &sleep_port_kind,
    &power_ports_kind, &pci_config_kind, &port92_kind,        &port61_kind,    &acpi_pm_kind,   &i8042_kind,
    &rtc_kind,         &fw_cfg_kind,     &pvpanic_kind,       &testdev_kind,   &crtc_kind,      &record::replay_kind,
    &remote_kind,
};

constexpr std::array place_keys{
    DeviceKey{"port", "N", "at port N"},
    DeviceKey{"mmio", "ADDRESS", "in memory at ADDRESS, where no RAM is"},
};

std::span<const DeviceKey> common_keys(const DeviceKind& kind) {
    if (!kind.movable) return {};
    return place_keys;
}

std::vector<std::string_view> keys_of(const DeviceKind& kind) {
    std::vector<std::string_view> names;
    for (const auto& key : common_keys(kind)) names.push_back(key.name);
    for (const auto& key : kind.keys) names.push_back(key.name);
    return names;
}

/// "port 0x10", "ports 0xf4, 0x501".
std::string place_of(const DeviceKind& kind) {
    if (kind.ports.empty()) return kind.movable ? "where port= or mmio= says" : "where it attaches itself";
    std::string place = kind.ports.size() > 1 ? "ports" : "port";
    for (const auto& range : kind.ports) {
        fmt::format_to(std::back_inserter(place), "{}{:#x}", &range == &kind.ports.front() ? " " : ", ", range.first);
    }
    return place;
}

void append_keys(std::string& text, std::span<const DeviceKey> keys) {
    for (const auto& key : keys) {
        fmt::format_to(std::back_inserter(text), "  {:<18} {}\n", fmt::format("{}={}", key.name, key.value), key.help);
    }
}

}  // namespace

void check_place(const DeviceHost& host, std::string_view name, AddressRange range) {
    constexpr std::uint64_t last_address = (std::uint64_t{1} << 52) - 1;  // a processor's physical addresses have 52 bits
    if (range.first > last_address - (range.size - 1)) {
        throw Error(ErrorKind::usage, fmt::format("device {}: mmio={:#x} leaves no room for its {} bytes: the last address "
                                                  "of a guest's memory is {:#x}",
                                                  name, range.first, range.size, last_address));
    }
    if (!host.occupant) return;
    const std::string_view occupant = host.occupant(range.first, range.first + (range.size - 1));
    if (occupant.empty()) return;
    throw Error(ErrorKind::usage,
                fmt::format("device {}: mmio={:#x} is in {} (choose an address outside, such as 0xd0000000)", name,
                            range.first, occupant));
}

namespace {

/// Where a kind is unless the options say otherwise.
std::vector<record::Place> standing_places_of(const DeviceKind& kind) {
    std::vector<record::Place> places;
    for (const auto& range : kind.ports) places.push_back({Space::port, range});
    return places;
}

/// Where the options want the device.
std::vector<record::Place> places_of(const DeviceKind& kind, const DeviceOptions& options, const DeviceRequest& request,
                                     const DeviceHost& host) {
    // A kind that is not movable may have keys of its own with these names.
    if (!kind.movable) return standing_places_of(kind);
    const auto port = options.number("port", 0xffff);
    const auto address = options.number("mmio", ~std::uint64_t{0});
    if (port && address) {
        throw Error(ErrorKind::usage, fmt::format("device {}: port and mmio exclude each other", request.name));
    }
    const std::uint64_t size = kind.size * options.stride();
    if (address) {
        check_place(host, request.name, {*address, size});
        return {{Space::memory, {*address, size}}};
    }
    if (port) {
        AddressRange range = kind.ports.empty() ? AddressRange{.size = kind.size} : kind.ports.front();
        range.first = *port;
        return {{Space::port, range}};
    }
    if (kind.ports.empty() && kind.movable) {
        throw Error(ErrorKind::usage,
                    fmt::format("device {}: it has no place of its own (add port=N or mmio=ADDRESS)", request.name));
    }
    return standing_places_of(kind);
}

/// What a plugin throws may be anything.
std::shared_ptr<Device> make(const DeviceKind& kind, const DeviceOptions& options, const DeviceRequest& request,
                             const DeviceHost& host) {
    if (!plugin::names_file(request.name)) return kind.make(options, host);
    std::string why = "something that is no exception";
    try {
        return kind.make(options, host);
    } catch (const Error&) {
        throw;
    } catch (const std::exception& error) {
        why = error.what();
    } catch (...) {
    }
    throw Error(ErrorKind::usage, fmt::format("device {}: it cannot be made: {}", request.name, why));
}

void make_and_attach(const DeviceKind& kind, const DeviceOptions& options, const DeviceRequest& request,
                     const DeviceHost& host) {
    const auto places = places_of(kind, options, request, host);
    const auto device = make(kind, options, request, host);
    if (!device) throw Error(ErrorKind::usage, fmt::format("device {}: its function make gives none", request.name));
    for (const auto& [space, range] : places) (space == Space::port ? host.ports : host.mmio).attach(range, device);
}

/// Names of QEMU's for what is here by another one.
struct Elsewhere {
    std::string_view name;
    std::string_view here;
};

constexpr Elsewhere qemu_devices[] = {
    {"isa-debug-exit", "exit, there by default at ports 0xf4 and 0x501"},
    {"isa-debugcon", "debugcon, there by default: --debugcon SPEC"},
    {"isa-serial", "--serial SPEC"},
    {"virtio-blk-pci", "--disk FILE"},
    {"virtio-net-pci", "--net SPEC"},
    {"virtio-rng-pci", "--rng"},
    {"virtio-balloon-pci", "--balloon"},
    {"virtio-serial-pci", "--console SPEC and --virtio-port NAME=SPEC"},
    {"vhost-vsock-pci", "--vsock SPEC"},
};

/// What a person may have meant.
std::string instead_of(std::string_view name) {
    if (name.ends_with(".so")) return fmt::format(" (a plugin's name has a slash: ./{})", name);
    const auto* const known = std::ranges::find(qemu_devices, name, &Elsewhere::name);
    if (known != std::end(qemu_devices)) return fmt::format(" (QEMU's; here: {})", known->here);
    std::vector<std::string_view> names;
    for (const auto* const kind : kinds) names.push_back(kind->name);
    return suggestion(name, names);
}

}  // namespace

std::span<const DeviceKind* const> device_kinds() noexcept { return kinds; }

const DeviceKind& device_kind(std::string_view name) {
    if (plugin::names_file(name)) return plugin::load(std::string(name));
    const auto found = std::ranges::find(kinds, name, &DeviceKind::name);
    if (found != kinds.end()) return **found;
    throw Error(ErrorKind::usage, fmt::format("there is no device {}{}", name, instead_of(name)));
}

std::string place_taken_by(const DeviceRequest& request) {
    if (request.name != record::replay_kind.name) return request.name;
    const auto file = DeviceOptions(request).text("file");
    return file && !file->empty() ? record::recorded_device(std::string(*file)) : request.name;
}

std::vector<DeviceRequest> plan_devices(std::vector<DeviceRequest> requests, bool defaults) {
    std::vector<DeviceRequest> plan;
    for (const auto* const kind : kinds) {
        if (!defaults || !kind->by_default) continue;
        const bool replaced = std::ranges::find(requests, kind->name, place_taken_by) != requests.end();
        if (!replaced) plan.push_back({std::string(kind->name), {}});
    }
    std::ranges::move(requests, std::back_inserter(plan));
    return plan;
}

void add_device(const DeviceHost& host, const DeviceRequest& request) {
    const DeviceKind& kind = device_kind(request.name);
    const DeviceOptions options(request);
    options.check_keys(keys_of(kind));
    if (request.record.empty()) return make_and_attach(kind, options, request, host);
    const record::RecordedHost recorded(host, request.record);
    make_and_attach(kind, options, request, recorded.host());
}

void add_device(const DeviceHost& host, std::string_view text) { add_device(host, parse_device_request(text)); }

void add_default_devices(const DeviceHost& host) {
    for (const auto& request : plan_devices({}, true)) add_device(host, request);
}

void add_serial_port(const DeviceHost& host, unsigned index, std::shared_ptr<Chardev> chardev) {
    if (index >= com_ports.size()) {
        throw Error(
            ErrorKind::usage,
            fmt::format("there are {} serial ports at most (add more with --device uart16550,port=N)", com_ports.size()));
    }
    host.ports.attach(com_ports[index].ports, make_uart16550(std::move(chardev), com_ports[index].irq));
}

std::string device_help() {
    std::string text =
        "--device NAME[,KEY=VALUE]... adds a device; those marked * are there without it, and are replaced.\n";
    for (const auto* const kind : kinds) {
        const auto keys = fmt::format("{}", fmt::join(keys_of(*kind), " "));
        fmt::format_to(std::back_inserter(text), "{} {:<10} {:<44} {:<33} [{}]\n", kind->by_default ? '*' : ' ', kind->name,
                       kind->help, place_of(*kind), keys);
    }
    text +=
        "record=FILE, before NAME records what the guest and the device do; replay=FILE plays it back "
        "(docs/record-replay.md).\n"
        "A name with a slash is a plugin: --device ./mydevice.so,port=0x300 (docs/plugins.md).\n"
        "--device NAME,help explains a device's keys.\n";
    return text;
}

std::string device_help(std::string_view name) {
    const DeviceKind& kind = device_kind(name);
    std::string text =
        fmt::format("{}: {} ({}{})\n", kind.name, kind.help, place_of(kind), kind.by_default ? ", by default" : "");
    append_keys(text, common_keys(kind));
    append_keys(text, kind.keys);
    text += "Numbers are decimal, or hexadecimal after 0x, binary after 0b, octal after 0o.\n";
    return text;
}

std::optional<std::string> requested_help(const DeviceRequest& request) {
    if (request.name == "help") return device_help();
    const auto asks = [](const auto& option) { return option.first == "help" && option.second.empty(); };
    if (std::ranges::any_of(request.options, asks)) return device_help(request.name);
    return std::nullopt;
}

}  // namespace asyncvm
