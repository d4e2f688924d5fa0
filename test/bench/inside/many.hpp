/// Many small machines in one process, on one device loop.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace asyncvm::bench {

struct ManyResult {
    std::chrono::nanoseconds made{};       ///< until every machine was made and its run begun
    std::chrono::nanoseconds heard{};      ///< until a first line of every machine had arrived
    std::uint64_t memory = 0;              ///< bytes that the process has grown by, the guests' own pages included
    std::uint64_t lines = 0;               ///< that arrived within the window
    std::chrono::nanoseconds processor{};  ///< of the process in the window
};

/// `count` machines with guests/now-and-then.S, which prints a line every `period`; once all were heard, `window` is
/// watched. Throws std::exception.
[[nodiscard]] ManyResult run_many(const std::string& image, unsigned count, std::chrono::microseconds period,
                                  std::chrono::milliseconds window);

}  // namespace asyncvm::bench
