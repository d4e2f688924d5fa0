/// One run of the program, from the options to the exit code.
#pragma once

#include "cli/options.hpp"

namespace asyncvm::cli {

/// Makes the machine, runs the guest, delivers what it has printed. The calling thread becomes the device loop. Returns the
/// exit code; throws Error. Once in a process: it handles the process's signals.
[[nodiscard]] int run_session(const Options& options);

}  // namespace asyncvm::cli
