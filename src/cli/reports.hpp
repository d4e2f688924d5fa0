/// What a guest that runs, or has halted, is doing.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/machine.hpp>

namespace asyncvm::cli {

/// Prints the report of each vCPU that runs or has halted: returns whether there is one. One that can't be reached in time
/// must not keep the program from its end. On the device loop.
[[nodiscard]] awaitable<bool> print_reports(Machine& machine, asio::io_context& loop);

}  // namespace asyncvm::cli
