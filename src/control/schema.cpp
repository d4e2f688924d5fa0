#include "control/schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string>

namespace asyncvm::control {

namespace {

constexpr bool optional = true;

constexpr Member capabilities[] = {{"enable", Type::list, optional}};
constexpr Member command_line[] = {{"command-line", Type::text}, {"cpu-index", Type::integer, optional}};
constexpr Member linear_memory[] = {
    {"val", Type::integer}, {"size", Type::integer}, {"filename", Type::text}, {"cpu-index", Type::integer, optional}};
constexpr Member physical_memory[] = {{"val", Type::integer}, {"size", Type::integer}, {"filename", Type::text}};

constexpr Member core_file[] = {{"paging", Type::boolean},           {"protocol", Type::text},
                                {"detach", Type::boolean, optional}, {"begin", Type::integer, optional},
                                {"length", Type::integer, optional}, {"format", Type::text, optional}};

constexpr Member chardev_id[] = {{"id", Type::text}};
constexpr Member chardev_place[] = {{"id", Type::text}, {"backend", Type::object, optional}, {"spec", Type::text, optional}};

constexpr Member new_size[] = {
    {"device", Type::text, optional}, {"node-name", Type::text, optional}, {"size", Type::integer}};
constexpr Member new_image[] = {{"device", Type::text, optional},
                                {"id", Type::text, optional},
                                {"filename", Type::text},
                                {"format", Type::text, optional},
                                {"read-only-mode", Type::text, optional},
                                {"force", Type::boolean, optional}};

constexpr Command all_commands[] = {
    {"qmp_capabilities", capabilities, "begins: before it no other command is taken; there are no capabilities to enable"},
    {"query-version", {}, "the program's version; the member is called `qemu` because clients look for it"},
    {"query-name", {}, "the machine's `name`, if it has one; none has"},
    {"query-target", {}, "the guest's processor: `arch` is `x86_64`"},
    {"query-kvm", {}, "whether this machine runs on KVM (`enabled`), and whether this host's KVM can be used (`present`)"},
    {"query-memory-size-summary", {}, "the guest's RAM in bytes: `base-memory`"},
    {"query-commands", {}, "the names of these commands"},
    {"query-qmp-schema", {}, "these commands, the events, and the types of their members"},
    {"query-status",
     {},
     "`status`: `prelaunch` (with `-S`, until `cont` or gdb's `continue`), `running`, `paused`, `debug` (at a "
     "breakpoint, a step or a crash of [gdb](gdb.md)), `save-vm` (a core file is written) or `shutdown`; "
     "`running`"},
    {"query-cpus-fast", {}, "the vCPUs, and the threads that run them"},
    {"query-devices", {}, "each device's ports or addresses"},
    {"query-chardev", {}, "the streams: their labels, where they go, whether somebody is connected"},
    {"query-chardev-backends", {}, "the types of `backend` that `chardev-change` takes"},
    {"chardev-change", chardev_place,
     "sends the stream with this label [elsewhere](#where-a-stream-goes): `backend` is QEMU's, `spec` is what `--serial` "
     "takes, for example `tcp:5555`; one of the two"},
    {"chardev-send-break", chardev_id,
     "sends a BREAK to the serial port whose stream has this label: `serial0`. Linux takes the next character as "
     "SysRq"},
    {"query-block", {}, "the disks: their names (`disk0`), images, sizes, and whether a request has failed"},
    {"query-blockstats", {}, "what they have done: requests, bytes, errors, and the time that took, in nanoseconds"},
    {"block_resize", new_size,
     "makes a disk `size` bytes large, which its guest hears ([disks.md](disks.md#while-the-machine-runs)); it is "
     "named by `device` (`disk0`) or `node-name`"},
    {"blockdev-change-medium", new_image,
     "gives the disk `device` or `id` another image: `filename` is a file, a block device or an NBD server's URI, "
     "`format` is `raw`, `read-only-mode` is `retain`, `read-only` or `read-write`; with `force` also if the old "
     "image can't be flushed. Every disk can be changed, in QEMU only removable ones"},
    {"query-stats",
     {},
     "what `--stats` counts ([statistics.md](statistics.md)), as numbers: times in nanoseconds, sums since the "
     "start. Not QEMU's command of this name"},
    {"stop", {}, "pauses the guest: no vCPU runs, the machine's clock stands"},
    {"cont", {}, "lets it go on"},
    {"system_reset", {}, "starts the guest anew, as `--reboot restart` does; a guest that is paused stays so"},
    {"quit", {}, "ends the program, with exit code 0; the answer comes first"},
    {"inject-nmi", {}, "raises an NMI on each vCPU; with KVM only"},
    {"memsave", linear_memory,
     "writes `size` bytes from virtual address `val`, as vCPU `cpu-index` (default 0) sees it, to a file of "
     "the host"},
    {"pmemsave", physical_memory, "the same from physical address `val`"},
    {"dump-guest-memory", core_file,
     "writes a [core file](core-files.md): `protocol` is `file:PATH`; with `paging` memory is at the guest's "
     "linear addresses too; with `detach` the answer comes at once; `begin` and `length` are a part of "
     "physical memory; `format` is `elf`. The guest stands meanwhile"},
    {"query-dump", {}, "how far the last one is: `status` is `none`, `active`, `completed` or `failed`; bytes of memory"},
    {"query-dump-guest-memory-capability", {}, "the formats of core files: `elf`"},
    {"human-monitor-command", command_line,
     "`info status`, `version`, `cpus`, `report` (of a stuck vCPU), `devices`, `chardev`, `block [-v] [DEVICE]`, "
     "`blockstats`, `stats`; `info registers`, `mem`, `tlb`, `mtree`, `irqchip`, `pic`, `lapic`, `exits`, `x`, `xp`, "
     "`print`, `gva2gpa`, `tlb` ([memory and registers](#memory-and-registers)); `cpu N`; "
     "`chardev-change ID SPEC`, `block_resize DEVICE SIZE` (in MiB without a unit), `change DEVICE "
     "[-f] FILE`, `stop`, `cont`, "
     "`system_reset`, `nmi`, `dump-guest-memory [-p] FILE`, `quit`, `help`; answered with text"},
};

constexpr Member reset_data[] = {{"guest", Type::boolean}, {"reason", Type::text}};
constexpr Member crash_data[] = {{"summary", Type::text}, {"report", Type::text}};
constexpr Member client_data[] = {{"label", Type::text}};

constexpr Member io_error_data[] = {{"device", Type::text}, {"node-name", Type::text},  {"operation", Type::text},
                                    {"action", Type::text}, {"nospace", Type::boolean}, {"reason", Type::text}};

constexpr Member dump_data[] = {{"result", Type::object}, {"error", Type::text, optional}};

constexpr EventKind all_events[] = {
    {"STOP",
     {},
     "the guest has been paused: by `stop`, before the answer; for a core file; by a debugger, or at its "
     "breakpoint"},
    {"RESUME", {}, "it goes on, whoever has said so; before the answer to `cont`"},
    {"RESET", reset_data, "the guest has started anew: `host-qmp-system-reset`, or `guest-reset` with `--reboot restart`"},
    {"SHUTDOWN", reset_data,
     "the run has ended: `guest-shutdown`, `guest-reset`, `guest-panic`, `host-error`, `host-signal`, "
     "`host-qmp-quit`"},
    {"DUMP_COMPLETED", dump_data, "a core file is complete or has failed: what `query-dump` answers, and why"},
    {"BLOCK_IO_ERROR", io_error_data,
     "a disk's `read` or `write` has failed on the host, and the guest was told: `action` is `report`. At most one a "
     "second for each disk"},
    {"CRASH", crash_data, "before `SHUTDOWN`, if the guest died: what the program prints about it"},
    {"CLIENT-CONNECTED", client_data, "a client has come to a stream: `serial0`"},
    {"CLIENT-DISCONNECTED", client_data, "it has left"},
};

constexpr std::string_view name_of(Type type) {
    switch (type) {
        case Type::text:
            return "string";
        case Type::integer:
            return "integer";
        case Type::boolean:
            return "boolean";
        case Type::object:
            return "object";
        case Type::list:
            break;
    }
    return "array";
}

/// As query-qmp-schema calls a type.
constexpr std::string_view schema_name_of(Type type) {
    switch (type) {
        case Type::text:
            return "str";
        case Type::integer:
            return "int";
        case Type::boolean:
            return "bool";
        case Type::object:
            return "any";
        case Type::list:
            break;
    }
    return "[str]";
}

bool is_a(const Json& value, Type type) {
    switch (type) {
        case Type::text:
            return value.is_string();
        case Type::integer:
            return value.is_number_integer();
        case Type::boolean:
            return value.is_boolean();
        case Type::object:
            return value.is_object();
        case Type::list:
            break;
    }
    return value.is_array();
}

Json object_type(const std::string& name, std::span<const Member> members) {
    Json list = Json::array();
    for (const Member& member : members) {
        Json one{{"name", member.name}, {"type", schema_name_of(member.type)}};
        if (member.optional) one["default"] = nullptr;
        list.push_back(std::move(one));
    }
    return {{"name", name}, {"meta-type", "object"}, {"members", std::move(list)}};
}

}  // namespace

std::span<const Command> commands() noexcept { return all_commands; }
std::span<const EventKind> events() noexcept { return all_events; }

const Command* find_command(std::string_view name) noexcept {
    const auto* const found = std::ranges::find(all_commands, name, &Command::name);
    return found == std::end(all_commands) ? nullptr : found;
}

void check_arguments(const Command& command, const Json& arguments) {
    for (const Member& member : command.arguments) {
        const auto found = arguments.find(member.name);
        if (found == arguments.end()) {
            if (!member.optional) throw CommandError(fmt::format("Parameter '{}' is missing", member.name));
        } else if (!is_a(*found, member.type)) {
            throw CommandError(
                fmt::format("Invalid parameter type for '{}', expected: {}", member.name, name_of(member.type)));
        }
    }
    for (const auto& [name, value] : arguments.items()) {
        if (std::ranges::find(command.arguments, name, &Member::name) == command.arguments.end()) {
            throw CommandError(fmt::format("Parameter '{}' is unexpected", name));
        }
    }
}

Json describe() {
    Json schema = Json::array();
    const auto add = [&](std::string_view name, std::string_view kind, std::span<const Member> members) {
        const auto type = members.empty() ? std::string("nothing") : fmt::format("{}-members", name);
        Json entry{{"name", name}, {"meta-type", kind}, {"arg-type", type}};
        if (kind == "command") entry["ret-type"] = "any";
        schema.push_back(std::move(entry));
        if (!members.empty()) schema.push_back(object_type(type, members));
    };
    for (const Command& command : all_commands) add(command.name, "command", command.arguments);
    for (const EventKind& event : all_events) add(event.name, "event", event.data);
    schema.push_back(object_type("nothing", {}));
    schema.push_back({{"name", "[str]"}, {"meta-type", "array"}, {"element-type", "str"}});
    for (const auto& [name, json] : {std::pair("str", "string"), {"int", "int"}, {"bool", "boolean"}, {"any", "value"}}) {
        schema.push_back({{"name", name}, {"meta-type", "builtin"}, {"json-type", json}});
    }
    return schema;
}

std::string markdown_tables() {
    std::string text;
    const auto row = [&text](std::string_view name, std::span<const Member> members, std::string_view what) {
        text += fmt::format("| `{}` |", name);
        for (const Member& member : members)
            text += fmt::format("{} `{}`", &member == members.data() ? "" : ",", member.name);
        text += fmt::format(" | {} |\n", what);
    };
    text += "| command | arguments | what it does |\n|---|---|---|\n";
    for (const Command& command : all_commands) row(command.name, command.arguments, command.what);
    text += "\n| event | data | when |\n|---|---|---|\n";
    for (const EventKind& event : all_events) row(event.name, event.data, event.when);
    return text;
}

std::string command_lines() {
    std::string text;
    for (const Command& command : all_commands) {
        text += command.name;
        for (const Member& member : command.arguments) text += fmt::format(" {}=", member.name);
        text += "\n";
    }
    return text;
}

}  // namespace asyncvm::control
