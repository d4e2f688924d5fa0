/// The telnet protocol (RFC 854, 855; options 856 BINARY, 857 ECHO, 858 SUPPRESS-GO-AHEAD). Pure.
#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace asyncvm {

/// The server's side of one connection: character at a time, no local echo, 8 bits.
class Telnet {
public:
    static constexpr std::byte iac{255};

    /// Offers and asks for what a terminal needs. To be sent first.
    [[nodiscard]] std::vector<std::byte> greeting();

    /// Takes the protocol out of what the client sent, wherever the pieces are cut. The data is appended to `data`, answers
    /// that the client must get to `reply`.
    void decode(std::span<const std::byte> in, std::vector<std::byte>& data, std::vector<std::byte>& reply);

private:
    enum class State : std::uint8_t { data, carriage_return, command, option, subnegotiation, subnegotiation_command };

    void take_option(std::uint8_t option, std::vector<std::byte>& reply);
    void take_data(std::byte byte, std::vector<std::byte>& data);

    State state_ = State::data;
    std::uint8_t verb_ = 0;
    std::bitset<256> ours_;    ///< options that this side performs, or has offered
    std::bitset<256> theirs_;  ///< options that the client performs, or was asked to
    bool binary_ = false;      ///< the client has agreed to send 8 bits unchanged
};

}  // namespace asyncvm
