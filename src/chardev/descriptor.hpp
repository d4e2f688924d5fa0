/// File descriptors of chardevs: to wait for them, to write without signals, and to use what other processes use too.
#pragma once

#include "os/unique_fd.hpp"
#include "socket/watched.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/asio.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace asyncvm {

/// Returns what write(2) returns, in bytes, or -errno. A pipe without a reader gives -EPIPE and no SIGPIPE.
[[nodiscard]] long write_quietly(int fd, std::span<const std::byte> data) noexcept;

/// Reads or writes a descriptor that other processes use too. It never blocks, and it leaves no O_NONBLOCK on what is
/// shared: terminals and pipes are opened once more through /proc/self/fd, sockets have flags for each call, and where
/// neither works the descriptor is polled before each call. Any thread, one at a time.
class SharedDescriptor {
public:
    /// `fd` stays open as long as this object lives, and is not closed by it.
    SharedDescriptor(int fd, bool writing);

    /// Both return bytes, 0 at the end of the input, or -errno; -EAGAIN: not ready.
    [[nodiscard]] long read(std::span<std::byte> data) noexcept;
    [[nodiscard]] long write(std::span<const std::byte> data) noexcept;

    [[nodiscard]] bool terminal() const noexcept { return terminal_; }
    [[nodiscard]] bool writing() const noexcept { return writing_; }
    /// What to wait for until it is ready.
    [[nodiscard]] int native_handle() const noexcept { return again_.valid() ? again_.get() : fd_; }

private:
    enum class Kind : std::uint8_t {
        closed,
        always,    ///< a regular file never has to wait
        own,       ///< opened again, with O_NONBLOCK
        socket,    ///< MSG_DONTWAIT
        borrowed,  ///< used only after poll() has said yes
    };

    [[nodiscard]] Kind classify();
    [[nodiscard]] bool ready() const noexcept;

    int fd_;
    bool writing_;
    bool terminal_ = false;
    UniqueFd again_;  ///< own: the second description
    Kind kind_;       ///< after what classify() fills
};

/// A SharedDescriptor that a coroutine can wait for.
class StdStream {
public:
    /// `fd` stays open as long as this object lives, and is not closed by it.
    StdStream(asio::io_context& loop, int fd, bool writing);

    [[nodiscard]] SharedDescriptor& descriptor() noexcept { return descriptor_; }
    /// Completes when it may be ready, or fails, or is closed.
    [[nodiscard]] awaitable<void> wait();

private:
    SharedDescriptor descriptor_;
    std::optional<Watched> watched_;  ///< an epoll descriptor that watches it; none where nothing can be waited for
};

}  // namespace asyncvm
