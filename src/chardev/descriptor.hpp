/// File descriptors: owning them, waiting for them, and writing without signals.
#pragma once

#include <asyncvm/asio.hpp>

#include <asio/posix/stream_descriptor.hpp>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace asyncvm {

/// Owns a file descriptor.
class UniqueFd {
public:
    UniqueFd() noexcept = default;
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~UniqueFd();

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
    void reset() noexcept { *this = UniqueFd(); }

private:
    int fd_ = -1;
};

using Watched = asio::posix::stream_descriptor;

/// Completes when `descriptor` is ready for `what`, or fails, or is closed (operation_aborted): look again in each case.
[[nodiscard]] awaitable<void> wait_for(Watched& descriptor, Watched::wait_type what);

/// What write(2) gives, in bytes or as -errno; a pipe without a reader gives -EPIPE and no SIGPIPE.
[[nodiscard]] long write_quietly(int fd, std::span<const std::byte> data) noexcept;

/// "address already in use": the text for an errno, as the project's messages have it.
[[nodiscard]] std::string reason(int error);

}  // namespace asyncvm
