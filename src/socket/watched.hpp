/// A file descriptor that coroutines wait for.
#pragma once

#include <asyncvm/asio.hpp>

#include <asio/posix/stream_descriptor.hpp>

namespace asyncvm {

using Watched = asio::posix::stream_descriptor;

/// Completes when `descriptor` is ready for `what`, or fails, or is closed (operation_aborted): the caller looks again in
/// each case. Device loop.
[[nodiscard]] awaitable<void> wait_for(Watched& descriptor, Watched::wait_type what);

}  // namespace asyncvm
