/// One connection on a stream socket: the bytes that were sent in it, and how many of them have arrived. No coroutines: each
/// function does all that can be done at once, and reports the result to the state machine.
#pragma once

#include <chardev/connection_fsm.hpp>
#include <chardev/descriptor.hpp>
#include <chardev/queue.hpp>
#include <chardev/telnet.hpp>

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
/// bound of the unread bytes; 0 when all has been read. A close that leaves something unread sets ECONNRESET first and
/// empties the queue then. So a bound that was asked for before the error was looked at, and found none, is true; the last
/// such bound counts. Small messages keep it tight.
class Connection {
public:
    /// `fd` is a connected stream socket. `ends_with_input`: as in ConnectionFsm. Throws std::system_error if the loop can't
    /// watch it.
    Connection(asio::io_context& loop, UniqueFd fd, bool telnet, bool ends_with_input);

    [[nodiscard]] ConnectionFsm& fsm() noexcept { return fsm_; }
    [[nodiscard]] const ConnectionFsm& fsm() const noexcept { return fsm_; }
    [[nodiscard]] Watched& descriptor() noexcept { return fd_; }
    [[nodiscard]] bool over() const noexcept { return fsm_.over(); }

    /// The queue's client is this one from now on.
    void admit(Queue& queue);
    /// ConnectionFsm::Output::write: sends what the kernel takes. Returns false if there is more to do, but others should
    /// have their turn.
    bool send(Queue& queue);
    /// ConnectionFsm::Input::read and discard. Returns false if there may be more to read.
    bool receive(Queue& queue);
    /// Looks how much has arrived, and whether the connection still lives.
    void look(Queue& queue);
    /// Follows ending() until it waits or is over. Returns how many bytes of input had to be thrown away, because the guest
    /// had left too many unread before.
    std::uint64_t settle(Queue& queue);

private:
    using Clock = std::chrono::steady_clock;

    void acknowledge(Queue& queue);
    void note_error(int error);
    [[nodiscard]] bool encode(Queue& queue);
    [[nodiscard]] bool send_wire();
    [[nodiscard]] bool send_encoded(Queue& queue, bool& all);
    [[nodiscard]] bool send_plain(Queue& queue, bool& all);
    [[nodiscard]] std::uint64_t give_input(std::span<const std::byte> bytes, Queue& queue, bool beyond_room);
    [[nodiscard]] std::uint64_t hand_over(Queue& queue);
    void shut_output();
    void close(bool reset);

    int socket_;  ///< fd_'s
    Watched fd_;
    ConnectionFsm fsm_;
    std::optional<Telnet> telnet_;
    WireMap map_{0};
    OutputLog::Batch batch_;
    std::vector<std::byte> wire_;  ///< telnet: encoded, not yet sent
    std::size_t wire_done_ = 0;
    Telnet::Decoded decoded_;
    std::vector<std::byte> replies_;
    bool admitted_ = false;
};

}  // namespace asyncvm
