/// `asyncvm ctl` and `asyncvm top`: a running machine, through its control socket.
#pragma once

#include <span>

namespace asyncvm::cli {

/// `arguments`: what follows the word. Return the exit code; throw Error.
[[nodiscard]] int run_ctl(std::span<const char* const> arguments);
[[nodiscard]] int run_top(std::span<const char* const> arguments);

}  // namespace asyncvm::cli
