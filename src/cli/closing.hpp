/// What a session says at its end, or about what it has done until now.
#pragma once

#include "cli/options.hpp"
#include "cli/setup.hpp"
#include "cli/streams.hpp"
#include "metrics/exposition.hpp"

#include <asyncvm/machine.hpp>
#include <asyncvm/outcome.hpp>

#include <string>
#include <vector>

namespace asyncvm::cli {

/// How the guest ended, where that is worth a line or was asked for, and what it did not find.
void print_outcome(const Outcome& outcome, Machine& machine, const Options& options, const Setup& setup);

/// Output that nobody has taken. Before the streams are closed.
void print_undelivered(const Streams& all_streams);

[[nodiscard]] StreamStatistics stream_statistics(const Streams::Stream& stream);

/// The tables of --stats.
[[nodiscard]] std::string statistics_text(const Machine& machine, const Streams& all_streams);
void print_statistics(const Machine& machine, const Streams& all_streams);

/// The answer to who scrapes.
[[nodiscard]] std::string metrics_page(const Machine& machine, const Streams& all_streams, metrics::Format format);

}  // namespace asyncvm::cli
