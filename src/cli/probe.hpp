/// asyncvm --probe.
#pragma once

#include "cli/options.hpp"

namespace asyncvm::cli {

/// Tries what this host's KVM can do and prints it. Returns the program's exit code: host (72) where KVM can't be used.
[[nodiscard]] int run_probe(ProbeReport report);

}  // namespace asyncvm::cli
