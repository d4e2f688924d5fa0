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

constexpr Command all_commands[] = {
    {"qmp_capabilities", capabilities, "begins: before it no other command is taken"},
    {"query-version", {}, "the program's version"},
    {"query-commands", {}, "the names of the commands"},
    {"query-qmp-schema", {}, "the commands, the events and their members"},
    {"query-status", {}, "whether the guest runs"},
    {"query-cpus-fast", {}, "the vCPUs and their threads"},
    {"query-devices", {}, "the devices and where the guest finds them"},
    {"query-chardev", {}, "where bytes go and come from"},
    {"query-stats", {}, "what the guest has done, device by device (with --stats)"},
    {"stop", {}, "pauses the guest"},
    {"cont", {}, "lets it go on"},
    {"system_reset", {}, "starts the guest anew"},
    {"quit", {}, "ends the program, with exit code 0"},
    {"inject-nmi", {}, "raises an NMI on each vCPU"},
    {"memsave", linear_memory, "writes memory to a file, by the guest's virtual address"},
    {"pmemsave", physical_memory, "writes memory to a file, by physical address"},
    {"dump-guest-memory", core_file, "writes a core file of the guest, for gdb and crash"},
    {"query-dump", {}, "how far the last core file is"},
    {"query-dump-guest-memory-capability", {}, "the formats of core files"},
    {"human-monitor-command", command_line, "a command for people, answered with text"},
};

constexpr Member reset_data[] = {{"guest", Type::boolean}, {"reason", Type::text}};
constexpr Member crash_data[] = {{"summary", Type::text}, {"report", Type::text}};
constexpr Member client_data[] = {{"label", Type::text}};

constexpr Member dump_data[] = {{"result", Type::object}, {"error", Type::text, optional}};

constexpr EventKind all_events[] = {
    {"STOP", {}},
    {"RESUME", {}},
    {"RESET", reset_data},
    {"SHUTDOWN", reset_data},
    {"DUMP_COMPLETED", dump_data},
    {"CRASH", crash_data},
    {"CLIENT-CONNECTED", client_data},
    {"CLIENT-DISCONNECTED", client_data},
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

}  // namespace asyncvm::control
