/// What a trace tells in words and numbers.
#pragma once

#include <string>

#include "timeline/trace.hpp"

namespace asyncvm::timeline {

/// For people: the span, what each vCPU did, where events are missing, what has happened beside accesses, which devices took
/// most of the time and were asked most often, the longest waits.
[[nodiscard]] std::string summary(const Trace& trace);

/// "12.3 ms"; `nanoseconds` of any size.
[[nodiscard]] std::string duration(std::uint64_t nanoseconds);

}  // namespace asyncvm::timeline
