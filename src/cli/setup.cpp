#include "cli/setup.hpp"

#include "cli/console.hpp"
#include "cli/virtio_devices.hpp"
#include "devices/catalogue.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>

namespace asyncvm::cli {

using namespace std::chrono_literals;

namespace {

[[noreturn]] void refuse_option(const std::string& message) { throw Error(ErrorKind::usage, message); }

bool asks_for(const Options& options, std::string_view device) {
    return std::ranges::find(options.devices, device, place_taken_by) != options.devices.end();
}

void check_options(const Options& options, BootFormat format) {
    const std::string name = options.guest == "-" ? "the standard input" : options.guest;
    const char* const for_kernels = !options.append.empty()    ? "--append"
                                    : !options.modules.empty() ? "--module"
                                    : !options.initrd.empty()  ? "--initrd"
                                                               : nullptr;
    if (format == BootFormat::firmware && for_kernels != nullptr) {
        refuse_option(fmt::format("{} is for kernels, and {} is firmware, which loads what it starts itself (drop {})",
                                  for_kernels, name, for_kernels));
    }
    if (format != BootFormat::flat) {
        const char* const given = options.load ? "--load" : options.entry ? "--entry" : options.mode ? "--mode" : nullptr;
        if (given == nullptr) return;
        refuse_option(
            fmt::format("{} is for flat binaries, and {} has the format {}, which says this itself (drop the option, "
                        "or add --format flat)",
                        given, name, name_of(format)));
    }
    if (for_kernels == nullptr) return;
    refuse_option(
        fmt::format("{} is for kernels, and {} is a flat binary, which does not ask for it (is this the kernel's file? "
                    "asyncvm inspect {})",
                    for_kernels, name, name));
}

}  // namespace

Setup set_up(const Options& options, BootFormat format) {
    check_options(options, format);
    if (format == BootFormat::flat) {
        Registers scratch;
        for (const auto& setting : options.registers) apply(scratch, setting, options.mode.value_or(Mode::real16));
    }
    const bool flat = format == BootFormat::flat;
    Setup setup;
    setup.machine = options.machine.value_or(flat ? MachineKind::flat : MachineKind::pc);
    const bool pc = setup.machine == MachineKind::pc;
    setup.on_halt = options.on_halt.value_or(pc ? HaltPolicy::fail : HaltPolicy::end);
    setup.huge_pages = options.huge_pages.value_or(pc && !options.memory_share ? HugePages::on : HugePages::off);
    setup.irqchip = options.irqchip || (pc && options.accelerator != AcceleratorChoice::unicorn);
    const bool needs_interrupts = format == BootFormat::bzimage || format == BootFormat::firmware;
    setup.irqchip_optional = pc && !needs_interrupts && options.cpus == 1;
    setup.boot_tables = !flat || options.mode.value_or(Mode::real16) != Mode::real16;
    if (format == BootFormat::firmware && options.accelerator == AcceleratorChoice::unicorn) {
        refuse_option("--accel unicorn: Unicorn can't start firmware at the end of 4 GiB (take --accel kvm)");
    }
    if (pc && options.accelerator == AcceleratorChoice::unicorn) {
        if (format == BootFormat::bzimage) {
            refuse_option("--accel unicorn: Linux needs interrupts, and Unicorn can't interrupt a guest (take --accel kvm)");
        }
        if (options.cpus > 1) {
            refuse_option(
                "--accel unicorn: without an interrupt controller a guest of the pc machine can't start more than "
                "one CPU (drop --cpus, or take --accel kvm)");
        }
    }
    return setup;
}

Setup guess_setup(const Options& options) {
    const BootFormat guess = options.machine == MachineKind::pc ? BootFormat::elf : BootFormat::flat;
    Options plain;
    plain.machine = options.machine;
    Setup setup = set_up(plain, options.format.value_or(guess));
    setup.boot_tables = options.mode.value_or(Mode::real16) != Mode::real16;
    return setup;
}

BootRequest boot_request(const Options& options) {
    const FlatGuest flat;
    return {.path = options.guest,
            .format = options.format,
            .command_line = options.append,
            .modules = options.modules,
            .initrd = options.initrd,
            .disk = bios_disk(options) != nullptr ? bios_disk(options)->source : std::string(),
            .load = options.load.value_or(flat.load),
            .entry = options.entry,
            .mode = options.mode.value_or(flat.mode)};
}

MachineConfig machine_config(const Options& options, const Setup& setup) {
    MachineConfig config;
    config.memory_size = options.memory_size;
    config.huge_pages = setup.huge_pages;
    config.wait_when_halted = setup.on_halt == HaltPolicy::wait;
    // A debugger, or who steers it, can start the guest anew.
    config.resettable = options.restart || options.control || options.gdb.has_value();
    config.memory_share = options.memory_share;
    config.cpus = options.cpus;
    config.log = make_log();
    config.statistics = options.statistics || !options.metrics.empty();
    // A kernel reads the line status between two characters of its log, and that stays an exit.
    if (setup.machine == MachineKind::pc) config.posted_burst_pause = 2ms;
    if (!options.posted_writes) config.posted_burst_pause = 0ns;
    return config;
}

PcDescription pc_description(const Options& options) {
    PcDescription pc;
    pc.ram_size = options.memory_size;
    pc.cpus = options.cpus;
    pc.serial_ports = static_cast<unsigned>(options.serials.size());
    pc.virtio_devices = count_virtio_devices(options);
    pc.virtio_transport = options.transport;
    // --no-defaults takes away what both machines have.
    for (const auto& request : plan_devices({}, true)) {
        if (!asks_for(options, request.name)) pc.without.push_back(request.name);
    }
    return pc;
}

BootSurroundings surroundings(const Options& options, const Setup& setup) {
    if (setup.machine == MachineKind::pc) return pc_surroundings(pc_description(options));
    return flat_surroundings(options.memory_size, options.cpus);
}

}  // namespace asyncvm::cli
