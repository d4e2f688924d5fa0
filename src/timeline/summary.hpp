/// What a trace tells in words and numbers.
#pragma once

#include <string>

#include "timeline/trace.hpp"

namespace asyncvm::timeline {

/// For people: the span, what each vCPU did, which devices took most of the time and were asked most often, the longest
/// waits, what was lost.
[[nodiscard]] std::string summary(const Trace& trace);

/// "12.3 ms"; `nanoseconds` of any size.
[[nodiscard]] std::string duration(std::uint64_t nanoseconds);

}  // namespace asyncvm::timeline
