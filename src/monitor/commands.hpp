/// What people ask about a guest, in gdb's `monitor` as well as by the control socket: one table, one answer each.
#pragma once

#include <asyncvm/asio.hpp>

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "monitor/view.hpp"

namespace asyncvm::monitor {

struct Request;

struct Command {
    std::string_view name;
    std::string_view other_name;  ///< empty: it has none
    std::string_view parameters;
    std::string_view what;
    awaitable<std::string> (*answer)(std::shared_ptr<const Request>);
};

/// For those who tell what there is.
[[nodiscard]] std::span<const Command> commands() noexcept;

/// Device loop; `view` outlives it, and `cpu` is one of its vCPUs. Returns what is printed, lines with '\n'; nothing: the
/// line is not one of these. Throws HumanError, and what the machine throws.
[[nodiscard]] awaitable<std::optional<std::string>> answer(View& view, std::string line, unsigned cpu);

}  // namespace asyncvm::monitor
