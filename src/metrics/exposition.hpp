/// Statistics as text for Prometheus. Pure. docs/metrics.md names what is in it.
#pragma once

#include <asyncvm/statistics.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace asyncvm::metrics {

enum class Format : std::uint8_t {
    classic,       ///< Prometheus' own, 0.0.4
    open_metrics,  ///< OpenMetrics 1.0: counters are declared without their "_total", and there is an end
};

struct Stream {
    StreamStatistics statistics;
    bool connected = false;
};

/// What a scraper gets in an answer.
[[nodiscard]] std::string_view content_type(Format format) noexcept;

/// Each family with its help and type, each series once, and a final end of line.
[[nodiscard]] std::string exposition(const Statistics& statistics, std::span<const Stream> streams, Format format);

}  // namespace asyncvm::metrics
