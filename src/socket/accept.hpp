/// Waiting for clients of a listening socket.
#pragma once

#include <asyncvm/asio.hpp>
#include <os/unique_fd.hpp>
#include <socket/watched.hpp>

namespace asyncvm {

/// The next client's socket, which does not block; invalid when `listener` has been closed. As long as the process has no
/// descriptor left it is tried again each half second: the client stays in the kernel's list. `listener` lives until this
/// completes. Device loop.
[[nodiscard]] awaitable<UniqueFd> accept_client(Watched& listener);

}  // namespace asyncvm
