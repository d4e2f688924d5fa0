/// One connection on a stream socket: what was sent in it, what of that has arrived. No coroutines: each function does what
/// can be done at once.
#pragma once

#include <chardev/descriptor.hpp>
#include <chardev/queue.hpp>
#include <chardev/telnet.hpp>
#include <chardev/wire_map.hpp>

#include <cstdint>
#include <optional>
#include <vector>

namespace asyncvm {

/// How it is known what has reached the other end (Linux, tried on 6.18):
///
/// TCP: SIOCOUTQ is what the peer's kernel has not acknowledged. It stays exact after the peer's reset (ECONNRESET) and
/// after EPIPE, so what a dead connection has not delivered can be asked when it is found dead. An acknowledgement that the
/// peer's kernel was still delaying (up to 40 ms) when it sent the reset is lost with it.
///
/// Unix sockets: SIOCOUTQ is the memory of the messages that the peer has not read to their end, overhead included: an upper
/// bound of the unread bytes; 0 when all has been read. After the peer's close it is 0, whatever was unread; but the close
/// gives ECONNRESET if anything was. So the last bound before it counts. Small messages keep the bound tight.
class Connection {
public:
    enum class Progress : std::uint8_t {
        idle,     ///< everything is sent
        blocked,  ///< the kernel takes no more for now
        more,     ///< there is more to do, but others should have their turn
        failed,   ///< the connection is dead
    };
    enum class Input : std::uint8_t { got, none, no_room, eof, failed };

    /// `fd` is a connected stream socket.
    Connection(asio::io_context& loop, UniqueFd fd, bool telnet);

    /// The queue's client is this one from now on.
    void admit(Queue& queue);

    [[nodiscard]] Progress pump(Queue& queue);
    [[nodiscard]] Input receive(Queue& queue);
    /// Tells the queue what has arrived.
    void sample(Queue& queue);
    /// Whether the connection is dead in both directions.
    [[nodiscard]] bool dead() const;
    /// No more output: the peer sees the end of file. Input is thrown away from now on.
    void half_close();
    /// Settles what has arrived, and closes. Once.
    void close(Queue& queue);

    [[nodiscard]] Watched& descriptor() noexcept { return fd_; }
    [[nodiscard]] bool over() const noexcept { return over_; }
    [[nodiscard]] bool heard() const noexcept { return heard_; }
    /// The peer sends no more.
    [[nodiscard]] bool eof() const noexcept { return eof_; }
    /// The peer sends no more, and nothing shows that it still listens.
    [[nodiscard]] bool maybe_gone() const noexcept { return eof_ && !local_ && arrived_ <= sent_at_eof_; }
    /// Everything that was sent has arrived, the end of file included.
    [[nodiscard]] bool all_arrived() const { return unarrived() <= 0; }

private:
    [[nodiscard]] bool encode(Queue& queue);
    [[nodiscard]] Progress send_wire();
    [[nodiscard]] long unarrived() const;

    int socket_;  ///< fd_'s
    Watched fd_;
    bool local_;
    std::optional<Telnet> telnet_;
    WireMap map_{0};
    OutputLog::Batch batch_;
    std::vector<std::byte> wire_;  ///< telnet: encoded, not yet sent
    std::size_t wire_done_ = 0;
    std::vector<std::byte> replies_;
    std::uint64_t sent_ = 0;     ///< bytes that the kernel has taken
    std::uint64_t arrived_ = 0;  ///< of these, the ones that have reached the peer
    std::uint64_t sent_at_eof_ = 0;
    bool admitted_ = false;
    bool heard_ = false;
    bool eof_ = false;
    bool reset_ = false;  ///< the peer closed without having read everything
    bool half_closed_ = false;
    bool end_sent_ = false;  ///< TCP: the end of file counts as a byte that is under way, until it is acknowledged
    bool over_ = false;
};

}  // namespace asyncvm
