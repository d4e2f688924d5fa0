/// The human monitor's lines about a guest's registers and memory: x, xp, print, gva2gpa, info registers.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/machine.hpp>

#include <optional>
#include <string>

namespace asyncvm::control {

/// Device loop. `machine` outlives it, and `cpu` is one of its vCPUs. Returns what is printed; nothing: the line is not one
/// of these.
[[nodiscard]] awaitable<std::optional<std::string>> guest_line(Machine& machine, std::string line, unsigned cpu);

/// As `help` shows them, a line each.
[[nodiscard]] std::string guest_lines_help();

}  // namespace asyncvm::control
