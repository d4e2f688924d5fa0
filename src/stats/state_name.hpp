/// What a vCPU does, in a word that people and programs read.
#pragma once

#include <asyncvm/statistics.hpp>

#include <string_view>

namespace asyncvm {

/// "in-guest": in the tables of --stats, in query-stats and in asyncvm top.
[[nodiscard]] std::string_view state_name(CpuStatistics::State state) noexcept;

}  // namespace asyncvm
