#include "cli/wiring.hpp"

#include <asyncvm/bios.hpp>
#include <asyncvm/board.hpp>
#include <asyncvm/open_chardev.hpp>
#include "bus/io_bus.hpp"
#include "cli/stream_check.hpp"
#include "cli/virtio_devices.hpp"
#include "devices/catalogue.hpp"
#include "devices/device_kind.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>

#include <utility>

namespace asyncvm::cli {

void attach_devices(const Options& options, const Setup& setup, const Wiring& wiring) {
    const DeviceRequest* current = nullptr;
    DeviceHost host{
        .ports = wiring.ports,
        .mmio = wiring.mmio,
        .finish = wiring.finish,
        .open_chardev =
            [&wiring, &current](std::string_view spec) {
                const DeviceKind* const kind = current != nullptr ? &device_kind(current->name) : nullptr;
                return wiring.open_stream(
                    {spec, std::string(kind != nullptr ? kind->name : "board"), kind != nullptr && kind->reads});
            },
        .log = wiring.log,
        .occupant = [&options, &setup](std::uint64_t first, std::uint64_t last) -> std::string_view {
            constexpr std::uint64_t firmware = GuestMemory::firmware_end - GuestMemory::most_firmware;
            const bool below_4g = first < GuestMemory::firmware_end && last >= firmware;
            if (options.format == BootFormat::firmware && below_4g) return "the firmware";
            return GuestMemory::occupant(first, last, options.memory_size, setup.boot_tables);
        },
        .reset = wiring.reset,
        .before_guest = wiring.before_guest,
    };
    std::shared_ptr<Chardev> console;
    for (unsigned index = 0; index < options.serials.size(); ++index) {
        auto stream = wiring.open_stream({options.serials[index], fmt::format("serial{}", index), true});
        if (!console) console = stream;
        add_serial_port(host, index, std::move(stream));
    }
    if (wiring.boot != nullptr && wiring.boot->format() == BootFormat::boot_sector) {
        if (!console) console = wiring.open_stream({"null", "bios", true});
        auto bios = make_bios({.console = std::move(console),
                               .disk = wiring.boot->disk(),
                               .map = surroundings(options, setup).map,
                               .reset = reset_request(host)});
        host.ports.attach({.first = bios_port, .size = 1, .whole = true}, std::move(bios));
    }
    const bool pc = setup.machine == MachineKind::pc;
    // The pc machine has its own: some of the ports are ACPI's there.
    const auto is_boards = [pc](const DeviceRequest& request) {
        return pc && request.name == "power" && request.options.empty();
    };
    // The host bridge has the same ports.
    const auto is_host_bridges = [](const DeviceRequest& request) {
        return request.name == "pci-config" && request.options.empty();
    };
    if (pc) {
        PcDescription board = pc_description(options);
        for (const auto& request : options.devices) {
            if (!is_boards(request)) board.without.push_back(place_taken_by(request));  // the options say how
        }
        add_pc_devices(host, board);
    }
    const auto bus = options.transport == VirtioTransport::pci ? add_pci_host(host) : nullptr;
    for (const auto& request : options.devices) {
        if (is_boards(request) || (bus && is_host_bridges(request))) continue;
        current = &request;
        add_device(host, request);
    }
    unsigned slot = 0;
    for (auto& device : make_virtio_devices(options, wiring)) {
        if (bus) {
            add_pci_virtio_device(host, *bus, ++slot, std::move(device));
        } else {
            add_virtio_device(host, slot++, std::move(device));
        }
    }
}

void dry_run(const Options& options, const Setup& setup, asio::io_context& loop) {
    const auto slots = std::make_shared<DeviceSlots>(loop, Log());
    IoBus ports(Space::port, slots);
    IoBus mmio(Space::memory, slots);
    StreamCheck streams(options);
    const auto open_nothing = [&loop, &streams](const StreamRequest& request) {
        streams.check(request);
        return open_chardev(ChardevSpec{}, ChardevEnvironment{.loop = loop});
    };
    attach_devices(options, setup,
                   {.ports = ports, .mmio = mmio, .open_stream = open_nothing, .finish = [](const Outcome&) {}});
}

}  // namespace asyncvm::cli
