/// One stream between a port of the guest and a socket of the host: its states and its credit. Pure.
#pragma once

#include "vsock/packet.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace asyncvm::vsock {

/// The two ports that name a stream.
struct Ports {
    std::uint32_t host = 0;
    std::uint32_t guest = 0;
    auto operator<=>(const Ports&) const = default;
};

class Stream {
public:
    /// Bytes from the guest that wait for the socket, at most: the credit that the guest gets.
    static constexpr std::uint32_t capacity = 256 << 10;

    enum class Phase : std::uint8_t {
        requested,  ///< the host has asked, and the guest has not answered
        open,
        dead,  ///< nothing follows but a reset, if it is owed; the socket is to be closed
    };

    /// A program of the host has asked for a port of the guest: the guest gets a request.
    [[nodiscard]] static Stream from_host(std::uint64_t guest_cid, Ports ports) noexcept;
    /// The guest has asked with `request`, and somebody listens: it gets a response.
    [[nodiscard]] static Stream from_guest(const Packet& request) noexcept;

    [[nodiscard]] Phase phase() const noexcept { return phase_; }
    [[nodiscard]] Ports ports() const noexcept { return ports_; }

    /// A packet of the guest for this stream, with its payload. What is against the protocol ends the stream.
    void take(const Packet& packet, std::span<const std::byte> payload);

    /// What the socket gets next.
    [[nodiscard]] std::span<const std::byte> for_socket() const noexcept;
    /// The socket has taken `count` bytes of that.
    void written(std::size_t count);
    /// The socket's output ends: all has been written, and the guest sends no more. Once true.
    [[nodiscard]] bool output_ends() const noexcept { return guest_ended_ && for_socket().empty(); }

    /// How many bytes the guest takes now from the socket: 0 also before the stream is open, and after the end of either.
    [[nodiscard]] std::uint32_t room() const noexcept;
    /// The socket has bytes, for which there is no room(): the guest is asked for credit, once.
    void want_room() noexcept;
    /// The packet that carries `count` bytes, room() at most, from the socket to the guest.
    [[nodiscard]] Packet data(std::uint32_t count) noexcept;
    /// The socket's input has ended. `closed`: its peer reads no more, either.
    void input_ended(bool closed) noexcept;
    /// The socket has failed, or the program of the host has gone before the guest has answered.
    void fail() noexcept;

    /// The next packet without payload that the guest is owed.
    [[nodiscard]] std::optional<Packet> next_packet() noexcept;
    [[nodiscard]] bool owes_packet() const noexcept;

private:
    Stream(std::uint64_t guest_cid, Ports ports) noexcept : guest_cid_(guest_cid), ports_(ports) {}

    [[nodiscard]] Packet packet(Operation operation) noexcept;
    void die(bool with_reset) noexcept;
    void shut_down(std::uint32_t flags) noexcept;
    void end_if_done() noexcept;

    std::uint64_t guest_cid_ = 0;
    Ports ports_;
    Phase phase_ = Phase::open;

    // What the guest is owed, in this order.
    bool owes_request_ = false;
    bool owes_response_ = false;
    bool owes_credit_ = false;
    bool owes_credit_request_ = false;
    bool owes_shutdown_ = false;
    bool owes_reset_ = false;

    bool credit_asked_ = false;     ///< and the guest has not answered
    bool guest_ended_ = false;      ///< it sends no more
    bool guest_deaf_ = false;       ///< it receives no more
    std::uint32_t shut_flags_ = 0;  ///< what the guest was told, or is to be

    std::uint32_t guest_buffer_ = 0;     ///< of the guest's last packet
    std::uint32_t guest_forwarded_ = 0;  ///< as well
    std::uint32_t sent_ = 0;             ///< bytes to the guest, modulo 2^32
    std::uint32_t forwarded_ = 0;        ///< bytes to the socket, modulo 2^32
    std::uint32_t told_forwarded_ = 0;   ///< what the guest knows of that

    std::vector<std::byte> held_;  ///< from the guest, for the socket
    std::size_t held_begin_ = 0;
};

}  // namespace asyncvm::vsock
