/// Commands of the control socket about one thing, such as streams, apart from MachineCommands.
#pragma once

#include "control/json.hpp"
#include "control/schema.hpp"

#include <asyncvm/asio.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace asyncvm::control {

/// MachineCommands asks each group of its Subject what it does not know itself. The commands stand in schema.cpp like all
/// others. Everything on the device loop's thread.
class CommandGroup {
public:
    CommandGroup() = default;
    CommandGroup(const CommandGroup&) = delete;
    CommandGroup& operator=(const CommandGroup&) = delete;
    virtual ~CommandGroup() = default;

    /// `arguments` fit the command's, and both live until it completes. Returns what is answered; nothing: the command is
    /// not one of this group. Throws CommandError, Error.
    [[nodiscard]] virtual awaitable<std::optional<Json>> carry_out(const Command& command, const Json& arguments) = 0;

    /// A line of human-monitor-command. Returns what is printed; nothing: it is not one of this group.
    [[nodiscard]] virtual awaitable<std::optional<std::string>> human(std::string_view line) = 0;

    /// The group's lines, as `help` shows them: "info chardev, chardev-send-break ID".
    [[nodiscard]] virtual std::string_view human_help() const noexcept = 0;
};

}  // namespace asyncvm::control
