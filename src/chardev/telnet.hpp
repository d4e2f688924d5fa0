/// The telnet protocol (RFC 854, 855; options 856 BINARY, 857 ECHO, 858 SUPPRESS-GO-AHEAD, 1073 NAWS), and the way from
/// bytes on the wire back to bytes of the guest. Pure.
#pragma once

#include <asyncvm/chardev.hpp>

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace asyncvm {

/// The server's side of one connection: character at a time, no local echo, 8 bits.
class Telnet {
public:
    static constexpr std::byte iac{255};

    /// Offers and asks for what a terminal needs. To be sent first.
    [[nodiscard]] std::vector<std::byte> greeting();

    /// What the client sent, without the protocol.
    struct Decoded {
        std::vector<std::byte> data;
        std::vector<std::size_t> breaks;     ///< how much of `data` came before each BREAK
        std::vector<std::byte> reply;        ///< answers that the client must get
        std::optional<TerminalSize> size{};  ///< the last one that the client has said
    };

    /// Appends to `out`, wherever the pieces of the input are cut.
    void decode(std::span<const std::byte> in, Decoded& out);

private:
    enum class State : std::uint8_t { data, carriage_return, command, option, subnegotiation, subnegotiation_command };

    void take_option(std::uint8_t option, std::vector<std::byte>& reply);
    void take_data(std::byte byte, std::vector<std::byte>& data);
    void take_subnegotiation(std::uint8_t value);
    void end_subnegotiation(Decoded& out) const;

    State state_ = State::data;
    std::uint8_t verb_ = 0;
    std::bitset<256> ours_;               ///< options that this side performs, or has offered
    std::bitset<256> theirs_;             ///< options that the client performs, or was asked to
    std::array<std::uint8_t, 5> said_{};  ///< of a subnegotiation: its option and what follows, as far as it is of use
    std::size_t said_size_ = 0;           ///< may be more than there is room for
    bool binary_ = false;                 ///< the client has agreed to send 8 bits unchanged
};

/// What was sent in one connection, as runs: bytes sent as they are, bytes that take two on the wire (telnet's 255), bytes
/// of the protocol alone, and bytes that were skipped (dropped before they could be sent). acknowledge() says which of the
/// guest's bytes have arrived with a number of the wire's.
class WireMap {
public:
    /// The first byte on the wire will be the guest's byte `position`.
    explicit WireMap(std::uint64_t position) noexcept : guest_(position), guest_end_(position) {}

    void plain(std::uint64_t count) { add(count, count); }
    void doubled(std::uint64_t count) { add(2 * count, count); }
    void inserted(std::uint64_t count) { add(count, 0); }
    void skipped(std::uint64_t count) { add(0, count); }

    /// Bytes put on the wire so far.
    [[nodiscard]] std::uint64_t sent() const noexcept { return wire_end_; }
    /// The guest's byte that comes next.
    [[nodiscard]] std::uint64_t position() const noexcept { return guest_end_; }

    /// `wire` bytes have arrived, at most sent(). Returns the position before which every byte of the guest has arrived.
    std::uint64_t acknowledge(std::uint64_t wire);

private:
    struct Run {
        std::uint64_t wire;
        std::uint64_t guest;
    };
    void add(std::uint64_t wire, std::uint64_t guest);

    std::deque<Run> runs_;
    std::uint64_t wire_ = 0;  ///< where runs_.front() begins
    std::uint64_t guest_;
    std::uint64_t wire_end_ = 0;
    std::uint64_t guest_end_;
};

}  // namespace asyncvm
