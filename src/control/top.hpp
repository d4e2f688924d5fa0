/// The live table: what has happened between two looks at a machine's statistics. Pure.
#pragma once

#include "control/json.hpp"

#include <string>

namespace asyncvm::control {

/// Lines of text, each with its end, from two answers to query-stats, the older one first: a line for each vCPU, and one for
/// each place that was accessed meanwhile, the busiest first, at most `most`. `before` may be null: then since the start.
[[nodiscard]] std::string top_table(const Json& before, const Json& now, std::size_t most = 20);

}  // namespace asyncvm::control
