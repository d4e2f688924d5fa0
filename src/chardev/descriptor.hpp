/// File descriptors of chardevs: to wait for them, and to write without signals.
#pragma once

#include "os/unique_fd.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/asio.hpp>

#include <asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <span>

namespace asyncvm {

using Watched = asio::posix::stream_descriptor;

/// Completes when `descriptor` is ready for `what`, or fails, or is closed (operation_aborted): look again in each case.
[[nodiscard]] awaitable<void> wait_for(Watched& descriptor, Watched::wait_type what);

/// What write(2) gives, in bytes or as -errno; a pipe without a reader gives -EPIPE and no SIGPIPE.
[[nodiscard]] long write_quietly(int fd, std::span<const std::byte> data) noexcept;

}  // namespace asyncvm
