/// Standard input and standard output, which this process shares with others.
#pragma once

#include <chardev/descriptor.hpp>

#include <cstddef>
#include <optional>
#include <span>

namespace asyncvm {

/// Reads or writes a descriptor that is not ours alone without blocking the loop, and without leaving O_NONBLOCK on what is
/// shared: terminals and pipes are opened once more through /proc/self/fd, sockets have flags for each call, and where
/// neither works readiness is asked for before each call.
class StdStream {
public:
    /// `fd` stays open as long as this object lives, and is not closed by it.
    StdStream(asio::io_context& loop, int fd, bool writing);

    /// Bytes, 0 at the end of the input, or -errno; -EAGAIN: wait() first.
    [[nodiscard]] long read(std::span<std::byte> data);
    [[nodiscard]] long write(std::span<const std::byte> data);
    [[nodiscard]] awaitable<void> wait();

    /// Whether there is anything behind the descriptor at all.
    [[nodiscard]] bool open() const noexcept { return kind_ != Kind::closed; }
    [[nodiscard]] bool terminal() const noexcept { return terminal_; }

private:
    enum class Kind : std::uint8_t {
        closed,
        always,    ///< files and the like: never has to wait
        own,       ///< opened again, O_NONBLOCK
        socket,    ///< MSG_DONTWAIT
        borrowed,  ///< only after poll() has said yes
    };

    [[nodiscard]] Kind classify();
    [[nodiscard]] bool ready() const;

    int fd_;
    bool writing_;
    bool terminal_ = false;
    UniqueFd again_;                  ///< own: the second description
    Kind kind_;                       ///< after what classify() fills
    std::optional<Watched> watched_;  ///< own: again_; socket, borrowed: an epoll descriptor that watches fd_
};

}  // namespace asyncvm
