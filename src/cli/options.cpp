#include "cli/options.hpp"

#include "accel/kvm/cpu_features.hpp"
#include "cli/option_values.hpp"
#include "cli/raw_options.hpp"
#include "devices/catalogue.hpp"
#include "metrics/server.hpp"
#include "text/parse.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#ifndef ASYNCVM_VERSION
#error "the build says which version this is"
#endif

namespace asyncvm::cli {

namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorKind::usage, message); }

Mode parse_mode(std::string_view text) {
    if (text == "16") return Mode::real16;
    if (text == "32") return Mode::protected32;
    if (text == "64") return Mode::long64;
    fail(fmt::format("--mode {}: it is 16 (real mode), 32 (protected mode) or 64 (long mode)", text));
}

AcceleratorChoice parse_accelerator(std::string_view text) {
    try {
        return parse_accelerator_choice(text);
    } catch (const Error& error) {
        fail(fmt::format("--accel: {}", error.what()));
    }
}

bool parse_posted_writes(std::string_view text) {
    if (text == "on") return true;
    if (text == "off") return false;
    fail(fmt::format("--posted-writes {}: it is on (bursts of writes are collected) or off (each write is an exit)", text));
}

HugePages parse_huge_pages(std::string_view text) {
    if (text == "off") return HugePages::off;
    if (text == "on") return HugePages::on;
    if (text == "reserved") return HugePages::reserved;
    fail(fmt::format("--hugepages {}: it is off, on (if the host has some to give) or reserved (those of vm.nr_hugepages)",
                     text));
}

bool parse_memory_share(std::string_view text) {
    if (text == "on") return true;
    if (text == "off") return false;
    fail(fmt::format("--memory-share {}: it is on (other processes can map the guest's memory) or off", text));
}

bool parse_irqchip(std::string_view text) {
    if (text == "on") return true;
    if (text == "off") return false;
    fail(fmt::format("--irqchip {}: it is on (interrupt controllers and a timer, in the kernel) or off", text));
}

MachineKind parse_machine(std::string_view text) {
    if (text == "flat") return MachineKind::flat;
    if (text == "pc") return MachineKind::pc;
    fail(fmt::format("--machine {}: it is flat (memory and devices, nothing else) or pc (a PC, for kernels)", text));
}

VirtioTransport parse_transport(std::string_view text) {
    if (text == "mmio") return VirtioTransport::mmio;
    if (text == "pci") return VirtioTransport::pci;
    fail(fmt::format("--transport {}: it is mmio (a page of memory for each virtio device) or pci (a PCI bus)", text));
}

bool parse_reboot(std::string_view text) {
    if (text == "restart") return true;
    if (text == "exit") return false;
    fail(fmt::format("--reboot {}: it is exit (a reset ends the program) or restart (the guest starts anew)", text));
}

HaltPolicy parse_on_halt(std::string_view text) {
    if (text == "exit") return HaltPolicy::end;
    if (text == "fail") return HaltPolicy::fail;
    if (text == "wait") return HaltPolicy::wait;
    fail(fmt::format("--on-halt {}: it is exit (with 0), fail (with {}) or wait (until asyncvm is stopped)", text,
                     exit_code::halted));
}

gdb::CrashPolicy parse_on_crash(std::string_view text) {
    if (text == "gdb") return gdb::CrashPolicy::wait;
    if (text == "exit") return gdb::CrashPolicy::end;
    fail(fmt::format("--on-crash {}: it is gdb (the machine stays for a debugger) or exit (with the code for it)", text));
}

/// --gdb, and -s and -S as QEMU has them. After --control.
void read_gdb(const RawOptions& raw, Options& options) {
    if (raw.gdb.size() > 1) fail("--gdb is given twice, but a machine has one place for a debugger (drop one of them)");
    if (raw.gdb_as_usual && !raw.gdb.empty())
        fail("-s is short for --gdb tcp:1234, and --gdb is given too (drop one of them)");
    try {
        if (raw.gdb_as_usual) options.gdb = gdb::parse_spec("tcp:1234");
        if (!raw.gdb.empty()) options.gdb = gdb::parse_spec(raw.gdb.back());
    } catch (const Error& error) {
        fail(fmt::format("--gdb {}", error.what()));
    }
    if (raw.freeze && !options.gdb && !options.control) {
        fail("-S: the guest would wait for a debugger that can't come (add -s, --gdb, or --control)");
    }
    options.held = raw.freeze && !options.gdb;
    if (raw.freeze && options.gdb) options.gdb->wait = true;
    if (raw.on_crash.empty()) return;
    options.on_crash = parse_on_crash(raw.on_crash.back());
    if (!options.gdb && options.on_crash == gdb::CrashPolicy::wait) {
        fail("--on-crash gdb: the guest would wait for a debugger that can't come (add -s, or --gdb)");
    }
}

BootFormat parse_format(std::string_view text) {
    try {
        return parse_boot_format(text);
    } catch (const Error& error) {
        fail(fmt::format("--format: {}", error.what()));
    }
}

/// FILE[,ARGUMENTS]: only the first comma divides, a doubled one before it is part of the name.
BootRequest::Module parse_module(std::string_view text) {
    BootRequest::Module module;
    std::size_t at = 0;
    for (; at < text.size(); ++at) {
        if (text[at] == ',' && at + 1 < text.size() && text[at + 1] == ',') {
            ++at;
        } else if (text[at] == ',') {
            break;
        }
        module.path += text[at];
    }
    if (at < text.size()) module.arguments = text.substr(at + 1);
    if (module.path.empty()) fail(fmt::format("--module {}: it names no file (FILE[,ARGUMENTS])", text));
    return module;
}

unsigned parse_cpus(std::string_view text) {
    const auto number = parse_number(text);
    if (!number || *number < 1 || *number > most_cpus) {
        fail(fmt::format("--cpus {}: a machine has 1 to {} vCPUs", text, most_cpus));
    }
    return static_cast<unsigned>(*number);
}

std::vector<RegisterSetting> parse_registers(const std::vector<std::string>& texts, std::optional<Mode> mode,
                                             unsigned cpus) {
    std::vector<RegisterSetting> settings;
    for (const auto& text : texts) settings.push_back(parse_register(text));
    check_cpus(settings, cpus);
    // Whether the mode allows them is better said before anything has been opened.
    Registers scratch;
    for (const auto& setting : settings) {
        if (mode) apply(scratch, setting, *mode);
    }
    return settings;
}

/// --debugcon is short for the key chardev of the device debugcon.
void redirect_debugcon(std::vector<DeviceRequest>& requests, const std::string& spec) {
    const auto found = std::ranges::find(requests, "debugcon", &DeviceRequest::name);
    auto& request = found != requests.end() ? *found : requests.emplace_back(DeviceRequest{"debugcon", {}});
    const auto has_one = [](const auto& option) { return option.first == "chardev"; };
    if (std::ranges::any_of(request.options, has_one)) {
        fail("--debugcon and --device debugcon,chardev= both say where the debug console's output goes (drop one of them)");
    }
    request.options.emplace_back("chardev", spec);
}

/// GUEST, or the firmware in its place, and its format.
void read_guest(const RawOptions& raw, Options& options) {
    if (!raw.firmware.empty()) {
        options.guest = raw.firmware.back();
        if (options.guest.empty()) fail("--firmware needs a file (example: --firmware /usr/share/seabios/bios.bin)");
        if (!raw.guest.empty()) {
            fail(fmt::format("--firmware: the firmware is the guest, and {} is one too (drop one of them)",
                             raw.guest.front()));
        }
        if (!raw.format.empty()) fail("--firmware says what the file is, and --format does too (drop --format)");
        options.format = BootFormat::firmware;
        return;
    }
    if (raw.guest.empty() || raw.guest.front().empty()) fail("no guest is given: asyncvm [options] GUEST");
    options.guest = raw.guest.front();
    if (!raw.format.empty()) options.format = parse_format(raw.format.back());
}

std::vector<std::string> serials(const RawOptions& raw) {
    constexpr std::size_t most = 4;
    if (raw.serial.size() > most) {
        fail(
            fmt::format("--serial is given {} times, but there are {} serial ports, COM1 to COM4 (add more with --device "
                        "uart16550,port=N,chardev=SPEC)",
                        raw.serial.size(), most));
    }
    if (raw.serial.empty() && !raw.no_defaults) return {"stdio"};
    return raw.serial;
}

std::vector<std::string> consoles(const RawOptions& raw) {
    constexpr std::size_t most = 8;  // Linux's hvc0 to hvc7
    if (raw.console.size() > most) {
        fail(fmt::format("--console is given {} times, but there are {} consoles at most", raw.console.size(), most));
    }
    return raw.console;
}

std::vector<Options::VirtioPort> virtio_ports(const RawOptions& raw) {
    constexpr std::string_view example = "(example: --virtio-port org.qemu.guest_agent.0=unix:/tmp/agent)";
    std::vector<Options::VirtioPort> ports;
    for (const std::string_view text : raw.virtio_port) {
        const auto equals = text.find('=');
        const auto name = text.substr(0, equals);
        if (equals == text.npos) fail(fmt::format("--virtio-port '{}' is not NAME=SPEC {}", text, example));
        const auto fits = [](char c) { return c > ' ' && c <= '~' && c != '/'; };
        if (name.empty() || name.size() > virtio::longest_port_name || !std::ranges::all_of(name, fits)) {
            fail(fmt::format("--virtio-port '{}': a name has 1 to {} printable characters, without blanks and / {}", text,
                             virtio::longest_port_name, example));
        }
        if (std::ranges::any_of(ports, [name](const auto& other) { return other.name == name; })) {
            fail(fmt::format("--virtio-port: {} is there twice (give one of them another name)", name));
        }
        ports.push_back({std::string(name), std::string(text.substr(equals + 1))});
    }
    if (ports.size() > virtio::most_ports) {
        fail(fmt::format("--virtio-port is given {} times, but there are {} ports at most", ports.size(),
                         virtio::most_ports));
    }
    return ports;
}

/// INT 13h reads a file, and that is all.
void check_bios_disk(const Options& options) {
    const DiskSpec* const disk = bios_disk(options);
    if (disk == nullptr) return;
    if (disk->kind != DiskSpec::Kind::file) {
        fail(fmt::format("--disk {}: a boot sector reads its disk from a file (the first --disk is the boot sector's)",
                         disk->source));
    }
    if (disk->snapshot || disk->direct || !disk->serial.empty()) {
        fail(
            fmt::format("--disk {}: a boot sector's disk is read-only, through the page cache and without a serial number "
                        "(drop the options; the first --disk is the boot sector's)",
                        disk->source));
    }
}

void read_networks(const RawOptions& raw, Options& options) {
    try {
        for (const auto& text : raw.net) options.networks.push_back(parse_net_spec(text));
    } catch (const Error& error) {
        fail(fmt::format("--net {}", error.what()));
    }
    try {
        for (const auto& text : raw.file_system) options.file_systems.push_back(parse_file_system_spec(text));
    } catch (const Error& error) {
        fail(fmt::format("--fs {}", error.what()));
    }
    if (raw.vsock.size() > 1) fail("--vsock is given twice, but a guest has one address (drop one of them)");
    try {
        for (const auto& text : raw.vsock) options.vsock = parse_vsock_spec(text);
    } catch (const Error& error) {
        fail(fmt::format("--vsock {}", error.what()));
    }
}

/// A device that another process serves needs memory that it can map.
void read_memory_share(const RawOptions& raw, Options& options) {
    const char* needs = nullptr;
    if (!options.file_systems.empty()) needs = "--fs";
    if (std::ranges::any_of(options.networks, [](const auto& n) { return n.kind == NetSpec::Kind::vhost_user; })) {
        needs = "--net vhost-user:";
    }
    if (std::ranges::any_of(options.disks, [](const auto& d) { return d.kind == DiskSpec::Kind::vhost_user; })) {
        needs = "--disk vhost-user:";
    }
    options.memory_share = needs != nullptr;
    if (raw.memory_share.empty()) return;
    options.memory_share = parse_memory_share(raw.memory_share.back());
    if (needs != nullptr && !options.memory_share) {
        fail(fmt::format("--memory-share off: the back end of {} has to map the guest's memory (drop one of them)", needs));
    }
}

}  // namespace

const DiskSpec* bios_disk(const Options& options) noexcept {
    const bool is_one = options.format == BootFormat::boot_sector && !options.disks.empty();
    return is_one ? &options.disks.front() : nullptr;
}

std::span<const DiskSpec> virtio_disks(const Options& options) noexcept {
    return std::span(options.disks).subspan(bios_disk(options) != nullptr ? 1 : 0);
}

Options parse_options(int argc, const char* const* argv) {
    const auto raw = split_command_line(argc, argv);
    Options options;
    if (raw.help) {
        options.text = help_text();
        return options;
    }
    if (raw.version) {
        options.text = "asyncvm " ASYNCVM_VERSION "\n";
        return options;
    }
    if (raw.probe || raw.probe_lines) {
        options.probe = raw.probe_lines ? ProbeReport::lines : ProbeReport::table;
        return options;
    }
    std::vector<DeviceRequest> requests;
    for (const auto& text : raw.device) {
        requests.push_back(parse_device_request(text));
        if (auto help = requested_help(requests.back())) {
            options.text = std::move(*help);
            return options;
        }
    }
    read_guest(raw, options);
    if (!raw.debugcon.empty()) redirect_debugcon(requests, raw.debugcon.back());
    options.devices = plan_devices(std::move(requests), !raw.no_defaults);
    options.serials = serials(raw);
    options.consoles = consoles(raw);
    options.virtio_ports = virtio_ports(raw);
    options.verbose = raw.verbose;
    options.statistics = raw.stats;
    options.rng = raw.rng;
    options.balloon = raw.balloon;
    if (!raw.load.empty()) options.load = parse_address(raw.load.back(), "--load");
    if (!raw.entry.empty()) options.entry = parse_address(raw.entry.back(), "--entry");
    if (!raw.mode.empty()) options.mode = parse_mode(raw.mode.back());
    if (!raw.memory.empty()) options.memory_size = parse_size(raw.memory.back(), "--memory");
    check_memory_size(options.memory_size);
    if (!raw.huge_pages.empty()) options.huge_pages = parse_huge_pages(raw.huge_pages.back());
    if (!raw.cpus.empty()) options.cpus = parse_cpus(raw.cpus.back());
    if (!raw.cpu.empty()) {
        options.cpu_features = raw.cpu.back();
        if (options.cpu_features.empty()) fail("--cpu needs the features that it changes (example: --cpu -avx)");
        static_cast<void>(kvm::parse_cpu_features(options.cpu_features));
    }
    if (!raw.accel.empty()) options.accelerator = parse_accelerator(raw.accel.back());
    if (options.accelerator == AcceleratorChoice::unicorn && !options.cpu_features.empty()) {
        fail("--cpu: the features of Unicorn's processor are fixed (drop it, or take --accel kvm)");
    }
    if (!raw.irqchip.empty()) options.irqchip = parse_irqchip(raw.irqchip.back());
    if (options.accelerator == AcceleratorChoice::unicorn && options.irqchip) {
        fail("--irqchip on: Unicorn can't interrupt a guest (drop it, or take --accel kvm)");
    }
    if (!raw.machine.empty()) options.machine = parse_machine(raw.machine.back());
    if (!raw.transport.empty()) options.transport = parse_transport(raw.transport.back());
    if (!raw.append.empty()) options.append = raw.append.back();
    for (const auto& text : raw.module) options.modules.push_back(parse_module(text));
    if (!raw.initrd.empty()) options.initrd = raw.initrd.back();
    for (const auto& text : raw.disk) {
        if (text.empty()) fail("--disk needs a file (example: --disk disk.img)");
        options.disks.push_back(parse_disk_spec(text));
    }
    check_bios_disk(options);
    read_networks(raw, options);
    read_memory_share(raw, options);
    if (!raw.reboot.empty()) options.restart = parse_reboot(raw.reboot.back());
    if (!raw.control.empty()) options.control = control::parse_place(raw.control.back());
    if (!raw.core.empty()) {
        options.core = raw.core.back();
        if (options.core.empty()) fail("--core needs the name of a file (example: --core guest.core)");
    }
    if (!raw.metrics.empty()) {
        options.metrics = raw.metrics.back();
        metrics::check_place(options.metrics);
    }
    if (!raw.trace.empty()) {
        options.trace = raw.trace.back();
        if (options.trace.empty()) fail("--trace needs a file (example: --trace run.pftrace)");
    }
    if (!raw.on_halt.empty()) options.on_halt = parse_on_halt(raw.on_halt.back());
    read_gdb(raw, options);
    options.inspect = raw.inspect;
    if (!raw.posted_writes.empty()) options.posted_writes = parse_posted_writes(raw.posted_writes.back());
    options.registers = parse_registers(raw.reg, options.mode, options.cpus);
    return options;
}

}  // namespace asyncvm::cli
