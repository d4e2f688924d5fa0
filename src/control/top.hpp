/// The live table: what has happened between two looks at a machine's statistics. Pure.
#pragma once

#include "control/json.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace asyncvm::control {

/// Lines of text, each with its end, from two answers to query-stats, the older one first: a line for each vCPU, and one for
/// each place that was accessed meanwhile, the busiest first, at most `most`. `before` may be null: then since the start.
[[nodiscard]] std::string top_table(const Json& before, const Json& now, std::size_t most = 20);

/// As much of it as a terminal shows without a line that wraps and without scrolling. Each line of `text` has its end.
[[nodiscard]] std::string fitted(std::string_view text, std::size_t rows, std::size_t columns);

}  // namespace asyncvm::control
