#include "cli/options.hpp"

#include "accel/kvm/cpu_features.hpp"
#include "cli/words.hpp"
#include "devices/catalogue.hpp"
#include "loader/number.hpp"
#include "loader/size_option.hpp"

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

unsigned parse_cpus(std::string_view text) {
    const auto number = parse_number(text);
    if (!number || *number < 1 || *number > most_cpus) {
        fail(fmt::format("--cpus {}: a machine has 1 to {} vCPUs", text, most_cpus));
    }
    return static_cast<unsigned>(*number);
}

std::vector<RegisterSetting> parse_registers(const std::vector<std::string>& texts, Mode mode, unsigned cpus) {
    std::vector<RegisterSetting> settings;
    for (const auto& text : texts) settings.push_back(parse_register(text));
    check_cpus(settings, cpus);
    // Whether the mode allows them is better said before anything has been opened.
    Registers scratch;
    for (const auto& setting : settings) apply(scratch, setting, mode);
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

std::vector<std::string> serials(const Words& words) {
    constexpr std::size_t most = 4;
    if (words.serial.size() > most) {
        fail(
            fmt::format("--serial is given {} times, but there are {} serial ports, COM1 to COM4 (add more with --device "
                        "uart16550,port=N,chardev=SPEC)",
                        words.serial.size(), most));
    }
    if (words.serial.empty() && !words.no_defaults) return {"stdio"};
    return words.serial;
}

}  // namespace

Options parse_options(int argc, const char* const* argv) {
    const auto words = split_command_line(argc, argv);
    Options options;
    if (words.help) {
        options.text = help_text();
        return options;
    }
    if (words.version) {
        options.text = "asyncvm " ASYNCVM_VERSION "\n";
        return options;
    }
    if (words.probe || words.probe_lines) {
        options.probe = words.probe_lines ? ProbeReport::lines : ProbeReport::table;
        return options;
    }
    std::vector<DeviceRequest> requests;
    for (const auto& text : words.device) {
        requests.push_back(parse_device_request(text));
        if (auto help = requested_help(requests.back())) {
            options.text = std::move(*help);
            return options;
        }
    }
    if (words.guest.empty() || words.guest.front().empty()) fail("no guest is given: asyncvm [options] GUEST");
    options.guest = words.guest.front();
    if (!words.debugcon.empty()) redirect_debugcon(requests, words.debugcon.back());
    options.devices = plan_devices(std::move(requests), !words.no_defaults);
    options.serials = serials(words);
    options.verbose = words.verbose;
    options.statistics = words.stats;
    if (!words.load.empty()) options.load = parse_address(words.load.back(), "--load");
    if (!words.entry.empty()) options.entry = parse_address(words.entry.back(), "--entry");
    if (!words.mode.empty()) options.mode = parse_mode(words.mode.back());
    if (!words.memory.empty()) options.memory_size = parse_size(words.memory.back(), "--memory");
    check_memory_size(options.memory_size);
    if (!words.cpus.empty()) options.cpus = parse_cpus(words.cpus.back());
    if (!words.cpu.empty()) {
        options.cpu_features = words.cpu.back();
        static_cast<void>(kvm::parse_cpu_features(options.cpu_features));
    }
    if (!words.accel.empty()) options.accelerator = parse_accelerator(words.accel.back());
    if (options.accelerator == AcceleratorChoice::unicorn && !options.cpu_features.empty()) {
        fail("--cpu: the features of Unicorn's processor are fixed (drop it, or take --accel kvm)");
    }
    if (!words.posted_writes.empty()) options.posted_writes = parse_posted_writes(words.posted_writes.back());
    options.registers = parse_registers(words.reg, options.mode, options.cpus);
    return options;
}

}  // namespace asyncvm::cli
