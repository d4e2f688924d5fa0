/// The bytes between gdb and this process: a socket, or the standard streams.
#pragma once

#include <asyncvm/asio.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "os/unique_fd.hpp"
#include "socket/watched.hpp"

namespace asyncvm::gdb {

/// Device loop.
class Connection {
public:
    /// A connected socket. Throws std::system_error.
    Connection(asio::io_context& loop, UniqueFd socket);
    /// Two descriptors, such as pipes.
    Connection(asio::io_context& loop, UniqueFd in, UniqueFd out);

    /// Waits for bytes. 0: the other side is gone, or close() was called. One call at a time.
    [[nodiscard]] awaitable<std::size_t> read(std::span<std::byte> to);
    /// Writes all; false: the other side is gone. One call at a time.
    [[nodiscard]] awaitable<bool> write(std::string_view bytes);
    /// What goes within a second, behind the rest of what write() is at; waits for that on this thread.
    void write_now(std::string_view bytes) noexcept;
    /// Whether the other side of a socket has left, though it may have said something before that is not read yet.
    [[nodiscard]] bool left() const noexcept;
    /// Looks for bytes to read until there are some, or for `limit`, on this thread: for an answer that comes sooner than
    /// the thread would sleep and wake up again.
    void look_for_bytes(std::chrono::nanoseconds limit) const noexcept;
    /// Waits end.
    void close() noexcept;

private:
    /// -1: errno says why.
    [[nodiscard]] long put(std::string_view bytes) noexcept;

    mutable std::optional<Watched> in_;  ///< asking for its handle changes it
    std::optional<Watched> out_;         ///< nothing where `in_` is both
    bool socket_ = false;
    std::string_view rest_;  ///< of write()
};

}  // namespace asyncvm::gdb
