/// asyncvm trace: what a timeline that was recorded tells.
#pragma once

#include <span>

namespace asyncvm::cli {

/// `arguments` follow the word trace. Prints, or draws a picture, and returns the exit code. Throws Error(usage), and
/// Error(guest_file) or Error(host) for files that can't be read or written.
[[nodiscard]] int run_trace(std::span<const char* const> arguments);

}  // namespace asyncvm::cli
