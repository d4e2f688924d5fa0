/// A disk on an NBD server: qemu-nbd, nbdkit, another machine.
#pragma once

#include <asyncvm/asio.hpp>
#include <asyncvm/block.hpp>

#include <chrono>
#include <memory>

namespace asyncvm::block {

/// A lost server is looked for again when so much time has passed since the last time.
inline constexpr std::chrono::steady_clock::duration nbd_attempt_pause = std::chrono::seconds(1);

/// Waits until the server has answered. Throws Error(host) if it does not take the connection, or asyncvm was built without
/// libnbd.
[[nodiscard]] std::shared_ptr<BlockBackend> open_nbd(const DiskSpec& spec, asio::io_context& loop, Log log);

/// The same, but the loop does not wait.
[[nodiscard]] awaitable<std::shared_ptr<BlockBackend>> open_nbd_on_loop(DiskSpec spec, asio::io_context& loop, Log log);

}  // namespace asyncvm::block
