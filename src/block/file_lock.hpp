/// Locks that keep two machines from writing one image. QEMU's protocol, so that its tools are kept out as well.
#pragma once

#include <string>

namespace asyncvm::block {

/// Takes the locks of somebody who reads, or reads and writes, and lets nobody else write. They end with the descriptor.
/// Returns who is in the way ("another program writes to it"), or an empty text; also where the file can't be locked.
[[nodiscard]] std::string lock_disk(int fd, bool writes);

/// For the time in which the file's size is changed: takes the lock of somebody who does that. Returns who is in the way, as
/// lock_disk() does, and has taken nothing then.
[[nodiscard]] std::string lock_size(int fd);
void unlock_size(int fd) noexcept;

}  // namespace asyncvm::block
