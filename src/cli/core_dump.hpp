/// --core: the file that a guest which has crashed is written to.
#pragma once

#include "cli/setup.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/machine.hpp>

#include <functional>
#include <string>

namespace asyncvm::cli {

/// After the run: writes the core of a guest whose `outcome` is a crash, or a halt that is a failure, and says so. What goes
/// wrong is a message, too. `given_up` is asked from time to time.
[[nodiscard]] awaitable<void> write_core(Machine& machine, std::string path, Outcome outcome, HaltPolicy on_halt,
                                         std::function<bool()> given_up);

}  // namespace asyncvm::cli
