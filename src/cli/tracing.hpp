/// --trace: the file that is written while a guest runs.
#pragma once

#include "cli/options.hpp"
#include "cli/setup.hpp"

#include <asyncvm/observer.hpp>
#include <asyncvm/trace.hpp>

#include <memory>
#include <vector>

namespace asyncvm::cli {

/// The recorder that the options ask for; null: none. Not before it is known that the options have no mistakes. Throws
/// Error(usage) and Error(host).
[[nodiscard]] std::shared_ptr<TraceRecorder> start_trace(const Options& options, const Setup& setup);

/// Ends the recorder, if there is one, and tells what of the trace is missing; with --verbose how much there is.
void end_trace(const std::shared_ptr<TraceRecorder>& recorder, const Options& options);

/// One observer of chardevs in place of several, of which some may be null. Null if all are.
[[nodiscard]] std::shared_ptr<Observer> chardev_observer(std::vector<std::shared_ptr<Observer>> observers);

}  // namespace asyncvm::cli
