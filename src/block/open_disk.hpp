/// Opening a disk while the machine runs.
#pragma once

#include <asyncvm/block.hpp>

#include <memory>

namespace asyncvm::block {

/// As open_disk(), but the loop does not wait for an NBD server. On the device loop.
[[nodiscard]] awaitable<std::shared_ptr<BlockBackend>> open_disk_on_loop(DiskSpec spec, asio::io_context& loop, Log log);

}  // namespace asyncvm::block
