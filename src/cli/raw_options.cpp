#include "cli/raw_options.hpp"

#include "text/suggest.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

namespace asyncvm::cli {

namespace {

struct Flag {
    const char* names;
    bool RawOptions::*given;
};

constexpr Flag flag_options[] = {
    {"-h,--help", &RawOptions::help},
    {"--version", &RawOptions::version},
    {"-v,--verbose", &RawOptions::verbose},
    {"--no-defaults", &RawOptions::no_defaults},
    {"--stats", &RawOptions::stats},
    {"--rng", &RawOptions::rng},
    {"--balloon", &RawOptions::balloon},
    {"--probe", &RawOptions::probe},
    {"--probe-lines", &RawOptions::probe_lines},
    {"-s", &RawOptions::gdb_as_usual},
    {"-S", &RawOptions::freeze},
};

struct Value {
    const char* names;
    std::vector<std::string> RawOptions::*values;
};

constexpr Value values[] = {
    {"--serial", &RawOptions::serial},
    {"--console", &RawOptions::console},
    {"--virtio-port", &RawOptions::virtio_port},
    {"--debugcon", &RawOptions::debugcon},
    {"--device", &RawOptions::device},
    {"--load", &RawOptions::load},
    {"--entry", &RawOptions::entry},
    {"--mode", &RawOptions::mode},
    {"--reg", &RawOptions::reg},
    {"-m,--memory", &RawOptions::memory},
    {"--cpus,--smp", &RawOptions::cpus},
    {"--cpu", &RawOptions::cpu},
    {"--accel", &RawOptions::accel},
    {"--posted-writes", &RawOptions::posted_writes},
    {"--hugepages", &RawOptions::huge_pages},
    {"--memory-share", &RawOptions::memory_share},
    {"--irqchip", &RawOptions::irqchip},
    {"--machine", &RawOptions::machine},
    {"--transport", &RawOptions::transport},
    {"--format", &RawOptions::format},
    {"--append", &RawOptions::append},
    {"--module", &RawOptions::module},
    {"--initrd", &RawOptions::initrd},
    {"--disk", &RawOptions::disk},
    {"--net", &RawOptions::net},
    {"--vsock", &RawOptions::vsock},
    {"--fs", &RawOptions::file_system},
    {"--firmware", &RawOptions::firmware},
    {"--reboot", &RawOptions::reboot},
    {"--on-halt", &RawOptions::on_halt},
    {"--control", &RawOptions::control},
    {"--metrics", &RawOptions::metrics},
    {"--trace", &RawOptions::trace},
    {"--gdb", &RawOptions::gdb},
    {"--on-crash", &RawOptions::on_crash},
    {"--core", &RawOptions::core},
    {"GUEST", &RawOptions::guest},
};

constexpr std::string_view names[] = {
    "--help",         "--version",  "--verbose",       "--no-defaults", "--serial",      "--debugcon", "--device",
    "--load",         "--entry",    "--mode",          "--reg",         "--memory",      "--cpus",     "--smp",
    "--cpu",          "--accel",    "--posted-writes", "--probe",       "--probe-lines", "--stats",    "--hugepages",
    "--memory-share", "--irqchip",  "--machine",       "--format",      "--append",      "--module",   "--initrd",
    "--disk",         "--firmware", "--reboot",        "--on-halt",     "--rng",         "--net",      "--vsock",
    "--console",      "--balloon",  "--virtio-port",   "--transport",   "--fs",          "--control",  "--metrics",
    "--gdb",          "--on-crash", "--core",          "--trace"};

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::usage, message); }

/// The option that a message of CLI11 begins with, the way people type it. Some messages name it without its dashes.
std::string option_in(std::string_view message) {
    const auto name = message.substr(0, message.find_first_of(": "));
    return fmt::format("{}{}", name.starts_with('-') ? "" : name.size() == 1 ? "-" : "--", name);
}

/// Options of QEMU's that have another name here, or need none.
struct Elsewhere {
    std::string_view name;
    std::string_view here;
};

constexpr Elsewhere qemu_options[] = {
    {"kernel", "the kernel is GUEST itself, as in asyncvm vmlinuz --initrd initrd.gz"},
    {"bios", "--firmware FILE"},
    {"drive", "--disk FILE"},
    {"hda", "--disk FILE"},
    {"cdrom", "--disk FILE,ro"},
    {"netdev", "--net SPEC"},
    {"nic", "--net SPEC"},
    {"chardev", "--serial SPEC and --console SPEC"},
    {"nographic", "the serial port is this terminal unless --serial says otherwise"},
    {"display", "the serial port is this terminal unless --serial says otherwise"},
    {"monitor", "--control unix:PATH, then asyncvm ctl PATH hmp"},
    {"qmp", "--control unix:PATH"},
    {"enable-kvm", "--accel kvm, or nothing: KVM is taken where there is one"},
    {"no-reboot", "--reboot exit, or nothing: it is the default"},
};

const Elsewhere* find_in_qemu(std::string_view bare_name) {
    const auto* const found = std::ranges::find(qemu_options, bare_name, &Elsewhere::name);
    return found == std::end(qemu_options) ? nullptr : found;
}

[[noreturn]] void fail_on_extra(std::string_view word) {
    if (!word.starts_with('-')) {
        refuse(fmt::format("unexpected argument: {} (there is one GUEST, and options come with two dashes)", word));
    }
    const auto name = word.substr(0, word.find('='));
    if (const auto* const known = find_in_qemu(name.substr(name.starts_with("--") ? 2 : 1)))
        refuse(fmt::format("unknown option: {} (QEMU's; here: {})", name, known->here));
    const auto near = nearest(name, names);
    refuse(near.empty() ? fmt::format("unknown option: {}", name)
                        : fmt::format("unknown option: {} (did you mean {}?)", name, near));
}

/// CLI11 would read `-v=1` as the options v, = and 1, and `-m=1G` as the value "=1G".
void fail_on_short_option_with_equals(std::string_view word) {
    if (word.size() < 3 || word[0] != '-' || word[1] == '-' || word[2] != '=') return;
    const auto option = word.substr(0, 2);
    const auto has_it = [option](const auto& known) { return std::string_view(known.names).starts_with(option); };
    if (std::ranges::any_of(flag_options, has_it)) refuse(fmt::format("{} can't have a value", option));
    if (std::ranges::any_of(values, has_it)) {
        refuse(
            fmt::format("{}: the value of a short option follows without = (example: {} {})", word, option, word.substr(3)));
    }
}

/// CLI11 would read -serial as the flags s, e and so on, and -machine as -m achine. `before` is the word before: a value may
/// begin with a dash.
void fail_on_joined_letters(std::string_view before, std::string_view word) {
    constexpr std::string_view letters = "hvsS";  // of flags
    if (word.size() < 3 || word[0] != '-') return;
    const auto name = word.substr(0, word.find('='));
    const bool lacks_a_dash = find_in_qemu(name.substr(1)) != nullptr ||
                              std::ranges::any_of(names, [name](std::string_view known) { return known.substr(1) == name; });
    if (!lacks_a_dash && letters.find(word[1]) == letters.npos) return;
    const auto takes_it = [before](const Value& value) {
        const std::string_view all = value.names;
        const auto comma = all.find(',');
        return all.substr(0, comma) == before || (comma != all.npos && all.substr(comma + 1) == before);
    };
    if (std::ranges::any_of(values, takes_it)) return;
    if (lacks_a_dash || word.find_first_not_of(letters, 1) != word.npos) fail_on_extra(word);
}

/// CLI11 would take the next word instead.
void fail_on_wrong_value(int argc, const char* const* argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view word = argv[i];
        if (word == "--") return;
        fail_on_short_option_with_equals(word);
        fail_on_joined_letters(argv[i - 1], word);
        if (word.starts_with("--") && word.find('=') == word.size() - 1) {
            refuse(fmt::format("{} needs a value", word.substr(0, word.size() - 1)));
        }
    }
}

}  // namespace

std::vector<std::string_view> option_names() { return {std::begin(names), std::end(names)}; }

RawOptions split_command_line(int argc, const char* const* argv) {
    RawOptions raw;
    CLI::App app;
    app.set_help_flag();
    app.allow_extras();
    for (const auto& flag : flag_options) app.add_flag(flag.names, raw.*flag.given)->disable_flag_override();
    for (const auto& value : values) {
        // Neither a list for each time that the option is given (what follows it may be the guest), nor brackets or quotes
        // that mean something: the words are taken as they are.
        const auto keep = [&all = raw.*value.values](const CLI::results_t& results) {
            all = results;
            return true;
        };
        app.add_option(value.names, CLI::callback_t(keep))->expected(1)->take_all();
    }
    fail_on_wrong_value(argc, argv);
    // A guest of that name is ./inspect, or stands alone or behind an option.
    raw.inspect = argc > 2 && std::string_view(argv[1]) == "inspect";
    try {
        app.parse(raw.inspect ? argc - 1 : argc, raw.inspect ? argv + 1 : argv);
    } catch (const CLI::ArgumentMismatch& error) {
        const auto option = option_in(error.what());
        const bool is_flag = std::ranges::any_of(flag_options, [&option](const Flag& flag) {
            return std::string_view(flag.names).starts_with(option) || std::string_view(flag.names).ends_with(option);
        });
        refuse(fmt::format("{} {} a value", option, is_flag ? "can't have" : "needs"));
    } catch (const CLI::ParseError& error) {
        refuse(error.what());
    }
    auto extras = app.remaining();
    std::erase(extras, "--");
    if (!extras.empty() && !raw.help) fail_on_extra(extras.front());
    if (raw.guest.size() > 1 && !raw.help) fail_on_extra(raw.guest[1]);
    return raw;
}

}  // namespace asyncvm::cli
