#include "devices/catalogue.hpp"

#include <asyncvm/error.hpp>

#include "devices/counter.hpp"
#include "devices/debug_console.hpp"
#include "devices/exit_port.hpp"
#include "devices/post_port.hpp"
#include "devices/sleep_port.hpp"
#include "text/suggest.hpp"
#include "devices/uart16550.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace asyncvm {

namespace {

using namespace std::string_view_literals;

// Shared with the serial port, which is there by default too: one terminal shows everything that the guest says.
constexpr auto default_chardev = "stdio"sv;

constexpr DeviceKey output_key{"chardev", "SPEC", "where its output goes, as for --serial (default stdio; ,, for a comma)"};
constexpr DeviceKey serial_key{"chardev", "SPEC", "the other end, as for --serial (default stdio; ,, for a comma)"};
constexpr DeviceKey code_key{"code", "qemu|exact", "the exit code: (value << 1) | 1, or the value (default qemu)"};
constexpr DeviceKey trace_key{"trace", "off|on", "tell each new code on stderr (default off)"};
constexpr std::array common_keys{
    DeviceKey{"port", "N", "at port N"},
    DeviceKey{"mmio", "ADDRESS", "in memory at ADDRESS, where no RAM is"},
};

constexpr std::array output_keys{output_key};
constexpr std::array serial_keys{serial_key};
constexpr std::array exit_keys{code_key};
constexpr std::array post_keys{trace_key};

constexpr std::array kinds{
    DeviceKind{"uart16550", "16550A serial port", "port 0x3f8", serial_keys, false},
    DeviceKind{"counter", "prints what is written, counts what is read", "port 0x10", output_keys, true},
    DeviceKind{"debugcon", "debug console: prints the bytes written", "ports 0xe9, 0xf1, 0x402", output_keys, true},
    DeviceKind{"exit", "ends the machine with an exit code", "ports 0xf4, 0x501", exit_keys, true},
    DeviceKind{"post", "remembers power-on self-test codes", "port 0x80", post_keys, true},
    DeviceKind{"sleep", "a write of n takes n microseconds", "port 0xf2", {}, true},
};

std::shared_ptr<Chardev> open_output(const DeviceOptions& options, const DeviceHost& host) {
    return host.open_chardev(options.text("chardev").value_or(default_chardev));
}

std::shared_ptr<Device> make_uart(const DeviceOptions& options, const DeviceHost& host) {
    return std::make_shared<Uart16550>(open_output(options, host), IrqLine());
}

std::shared_ptr<Device> make_counter(const DeviceOptions& options, const DeviceHost& host) {
    return std::make_shared<Counter>(open_output(options, host));
}

std::shared_ptr<Device> make_debug_console(const DeviceOptions& options, const DeviceHost& host) {
    return std::make_shared<DebugConsole>(open_output(options, host));
}

std::shared_ptr<Device> make_exit_port(const DeviceOptions& options, const DeviceHost& host) {
    constexpr std::array codings{"qemu"sv, "exact"sv};
    const auto coding = options.choice("code", codings) == 0 ? ExitCoding::qemu : ExitCoding::exact;
    return std::make_shared<ExitPort>(host.finish, coding);
}

std::shared_ptr<Device> make_post_port(const DeviceOptions& options, const DeviceHost& host) {
    constexpr std::array states{"off"sv, "on"sv};
    return std::make_shared<PostPort>(options.choice("trace", states) == 0 ? Log() : host.log);
}

std::shared_ptr<Device> make_sleep_port(const DeviceOptions&, const DeviceHost&) { return std::make_shared<SleepPort>(); }

/// How a kind is built, beside what help says of it. `size` is the number of addresses that it takes in memory.
struct Builder {
    std::shared_ptr<Device> (*make)(const DeviceOptions&, const DeviceHost&);
    std::span<const AddressRange> ports;
    std::uint64_t size;
};

/// One port that takes accesses of any width.
constexpr AddressRange whole_port(std::uint64_t port) { return {port, 1, true}; }

constexpr std::array com_ports{AddressRange{0x3f8, 8}, AddressRange{0x2f8, 8}, AddressRange{0x3e8, 8},
                               AddressRange{0x2e8, 8}};
constexpr std::array counter_ports{whole_port(0x10)};
constexpr std::array debug_console_ports{whole_port(0xe9), whole_port(0xf1), whole_port(0x402)};
constexpr std::array exit_ports{whole_port(0xf4), whole_port(0x501)};
constexpr std::array post_ports{whole_port(0x80)};
constexpr std::array sleep_ports{whole_port(0xf2)};

constexpr std::array builders{
    Builder{make_uart, std::span(com_ports).first(1), 8},
    Builder{make_counter, counter_ports, 8},
    Builder{make_debug_console, debug_console_ports, 8},
    Builder{make_exit_port, exit_ports, 8},
    Builder{make_post_port, post_ports, 8},
    Builder{make_sleep_port, sleep_ports, 4},
};
static_assert(builders.size() == kinds.size());

std::vector<std::string_view> keys_of(const DeviceKind& kind) {
    std::vector<std::string_view> names;
    for (const auto& key : common_keys) names.push_back(key.name);
    for (const auto& key : kind.keys) names.push_back(key.name);
    return names;
}

std::size_t index_of(std::string_view name) {
    const auto found = std::ranges::find(kinds, name, &DeviceKind::name);
    if (found != kinds.end()) return static_cast<std::size_t>(found - kinds.begin());
    std::vector<std::string_view> names;
    for (const auto& kind : kinds) names.push_back(kind.name);
    throw Error(ErrorKind::usage, fmt::format("there is no device {}{}", name, suggestion(name, names)));
}

}  // namespace

std::span<const DeviceKind> device_kinds() noexcept { return kinds; }

std::span<const DeviceKey> common_device_keys() noexcept { return common_keys; }

const DeviceKind& device_kind(std::string_view name) { return kinds[index_of(name)]; }

std::vector<DeviceRequest> plan_devices(std::vector<DeviceRequest> requests, bool defaults) {
    std::vector<DeviceRequest> plan;
    for (const auto& kind : kinds) {
        if (!defaults || !kind.by_default) continue;
        const bool replaced = std::ranges::find(requests, kind.name, &DeviceRequest::name) != requests.end();
        if (!replaced) plan.push_back({std::string(kind.name), {}});
    }
    std::ranges::move(requests, std::back_inserter(plan));
    return plan;
}

void add_device(const DeviceRequest& request, DeviceHost& host) {
    const auto index = index_of(request.name);
    const Builder& builder = builders[index];
    const DeviceOptions options(request);
    options.check_keys(keys_of(kinds[index]));
    const auto port = options.number("port", 0xffff);
    const auto address = options.number("mmio", ~std::uint64_t{0});
    if (port && address) {
        throw Error(ErrorKind::usage, fmt::format("device {}: port and mmio exclude each other", request.name));
    }
    const auto in_ram = [&host](std::uint64_t at) { return host.is_ram && host.is_ram(at); };
    if (address && (in_ram(*address) || in_ram(*address + (builder.size - 1)))) {
        throw Error(
            ErrorKind::usage,
            fmt::format("device {}: mmio={:#x} is in the guest's RAM (choose an address outside, such as 0xd0000000)",
                        request.name, *address));
    }
    const auto device = builder.make(options, host);
    if (address) {
        host.mmio.attach({*address, builder.size}, device);
    } else if (port) {
        AddressRange range = builder.ports.front();
        range.first = *port;
        host.ports.attach(range, device);
    } else {
        for (const auto& range : builder.ports) host.ports.attach(range, device);
    }
}

void add_default_devices(DeviceHost& host) {
    for (const auto& request : plan_devices({}, true)) add_device(request, host);
}

void add_uart(DeviceHost& host, unsigned index, std::shared_ptr<Chardev> chardev) {
    if (index >= com_ports.size()) {
        throw Error(
            ErrorKind::usage,
            fmt::format("there are {} serial ports at most (add more with --device uart16550,port=N)", com_ports.size()));
    }
    host.ports.attach(com_ports[index], std::make_shared<Uart16550>(std::move(chardev), IrqLine()));
}

}  // namespace asyncvm
