/// A trace as a picture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "timeline/trace.hpp"

namespace asyncvm::timeline {

/// What of the trace is drawn, in nanoseconds since its begin.
struct Part {
    std::uint64_t from = 0;
    std::optional<std::uint64_t> to{};  ///< nothing: its end
};

/// SVG 1.1: a row for each vCPU, each device of the device loop, each stream and its bytes, interrupts and the machine, with
/// a legend. Its size depends on the number of tracks, not on how much there is on them: some 200 KiB a row at most.
[[nodiscard]] std::string picture(const Trace& trace, const Part& part);

}  // namespace asyncvm::timeline
