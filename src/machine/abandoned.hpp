/// Machines that must stay although no handle and no coroutine holds them.
#pragma once

#include <asyncvm/asio.hpp>

#include <memory>

namespace asyncvm {

/// Until `loop` is destroyed. On the thread of `loop`, or before or after it runs.
void keep_until_loop_ends(asio::io_context& loop, std::shared_ptr<void> machine);

/// As long as the process lives. Any thread.
void keep_for_ever(std::shared_ptr<void> machine);

}  // namespace asyncvm
