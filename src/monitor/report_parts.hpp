/// Parts of a report about a guest, which are asked for alone. Pure.
#pragma once

#include <string>

namespace asyncvm::monitor {

/// The last exits, from the line that says how many there are.
[[nodiscard]] std::string exits_of(const std::string& report);
/// The registers, and what stands behind them.
[[nodiscard]] std::string registers_of(const std::string& report);

}  // namespace asyncvm::monitor
