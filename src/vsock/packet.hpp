/// Packets of virtio sockets (virtio 1.2, 5.10.6). Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace asyncvm::vsock {

inline constexpr std::uint64_t host_cid = 2;
inline constexpr std::size_t header_size = 44;  ///< bytes
/// Payload of one packet, at most (bytes): what Linux sends and takes.
inline constexpr std::uint32_t most_payload = 64 << 10;

enum class Operation : std::uint16_t {
    invalid = 0,
    request = 1,
    response = 2,
    reset = 3,
    shutdown = 4,
    data = 5,
    credit_update = 6,
    credit_request = 7,
};

// Flags of a shutdown.
inline constexpr std::uint32_t no_more_receive = 1;
inline constexpr std::uint32_t no_more_send = 2;

struct Packet {
    static constexpr std::uint16_t stream = 1;  ///< the only type there is

    std::uint64_t source_cid = 0;
    std::uint64_t destination_cid = 0;
    std::uint32_t source_port = 0;
    std::uint32_t destination_port = 0;
    std::uint32_t length = 0;  ///< bytes of payload behind the header
    std::uint16_t type = stream;
    Operation operation = Operation::invalid;
    std::uint32_t flags = 0;
    std::uint32_t buffer = 0;     ///< bytes that the sender's side can hold for this stream
    std::uint32_t forwarded = 0;  ///< bytes of payload that it has passed on since the stream began, modulo 2^32

    bool operator==(const Packet&) const = default;
};

[[nodiscard]] Packet decode(std::span<const std::byte, header_size> bytes) noexcept;
[[nodiscard]] std::array<std::byte, header_size> encode(const Packet& packet) noexcept;

/// What refuses `packet`: a reset the other way.
[[nodiscard]] Packet reset_for(const Packet& packet) noexcept;

}  // namespace asyncvm::vsock
