/// io_uring: the kernel performs jobs, many with one system call.
#pragma once

#include "block/engine.hpp"

#include <memory>
#include <string>

namespace asyncvm::block {

/// Reads, writes and flushes; other work is refused by start(). An empty pointer where the kernel does not allow it, or the
/// build has no liburing: `why` says so.
[[nodiscard]] std::unique_ptr<Engine> make_uring(std::string& why);

}  // namespace asyncvm::block
