/// One transfer of a file's bytes, as an engine performs it beside the device loop.
#pragma once

#include <asyncvm/event.hpp>

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <vector>

namespace asyncvm::block {

/// Completes (as a OneShot) on the device loop when the engine has finished with it, with whatever result.
struct Job : OneShot {
    enum class Work : std::uint8_t { read, write, flush, discard, zero, zero_and_unmap, resize };

    Job(Work what, int descriptor, std::uint64_t from, std::uint64_t bytes)
        : work(what), fd(descriptor), offset(from), left(bytes) {}

    const Work work;
    const int fd;
    std::uint64_t offset;       ///< of what is left; of a resize: the new size
    std::uint64_t left;         ///< bytes
    std::vector<iovec> parts;   ///< the memory of what is left, for reads and writes
    std::size_t first = 0;      ///< of `parts`: those before are done
    std::error_code error;      ///< what ended it before its end
    bool finished = false;      ///< no engine has it any more. Device loop.
    std::shared_ptr<Job> self;  ///< while an engine has it: the coroutine may go first

    /// `count` bytes more have been transferred.
    void advance(std::uint64_t count) noexcept;
    /// The memory of one system call, at most as many pieces as the kernel takes.
    [[nodiscard]] std::span<iovec> next_parts() noexcept;
};

/// Does what is left of the job, and sets its error. Blocks. Any thread.
void perform(Job& job) noexcept;

/// Does the job if the page cache has it all: then nothing has to wait. False: nothing but memory has changed, and the job
/// is as it was. `supported` becomes false where the file system does not know how.
[[nodiscard]] bool perform_now(Job& job, bool& supported) noexcept;

}  // namespace asyncvm::block
