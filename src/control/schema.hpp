/// The commands and events of the control socket, as a table: arguments are checked, query-qmp-schema is answered, and the
/// documentation and completion are made of it. Pure.
#pragma once

#include "control/json.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace asyncvm::control {

enum class Type : std::uint8_t { text, integer, boolean, list, object };

struct Member {
    std::string_view name;
    Type type;
    bool optional = false;
};

struct Command {
    std::string_view name;
    std::span<const Member> arguments;
    std::string_view what;  ///< what it does, as docs/control.md says it: Markdown, one line
};

struct EventKind {
    std::string_view name;
    std::span<const Member> data;
    std::string_view when;  ///< in the same way
};

[[nodiscard]] std::span<const Command> commands() noexcept;
[[nodiscard]] std::span<const EventKind> events() noexcept;

/// Null: there is none of that name.
[[nodiscard]] const Command* find_command(std::string_view name) noexcept;

/// Throws CommandError for a member that is missing, unknown or of another type. `arguments` is an object.
void check_arguments(const Command& command, const Json& arguments);

/// The tables of docs/control.md.
[[nodiscard]] std::string markdown_tables();

/// A line for each command, for completion: "memsave val= size= filename= cpu-index=".
[[nodiscard]] std::string command_lines();

/// The answer to query-qmp-schema, in the form of QEMU's (docs/interop/qmp-spec): commands, events, and their types.
[[nodiscard]] Json describe();

}  // namespace asyncvm::control
