#include "vsock/packet.hpp"

namespace asyncvm::vsock {

namespace {

/// Walks the fields of a header, lowest byte first.
class HeaderReader {
public:
    explicit HeaderReader(std::span<const std::byte, header_size> bytes) noexcept : bytes_(bytes) {}

    template <typename T>
    T next() noexcept {
        T value = 0;
        for (std::size_t i = 0; i < sizeof(T); ++i) {
            value = static_cast<T>(value | static_cast<T>(std::to_integer<T>(bytes_[place_++]) << 8 * i));
        }
        return value;
    }

private:
    std::span<const std::byte, header_size> bytes_;
    std::size_t place_ = 0;
};

class HeaderWriter {
public:
    template <typename T>
    void next(T value) noexcept {
        for (std::size_t i = 0; i < sizeof(T); ++i) bytes[place_++] = static_cast<std::byte>(value >> 8 * i);
    }

    std::array<std::byte, header_size> bytes{};

private:
    std::size_t place_ = 0;
};

}  // namespace

Packet decode(std::span<const std::byte, header_size> bytes) noexcept {
    HeaderReader reader(bytes);
    Packet packet;
    packet.source_cid = reader.next<std::uint64_t>();
    packet.destination_cid = reader.next<std::uint64_t>();
    packet.source_port = reader.next<std::uint32_t>();
    packet.destination_port = reader.next<std::uint32_t>();
    packet.length = reader.next<std::uint32_t>();
    packet.type = reader.next<std::uint16_t>();
    packet.operation = static_cast<Operation>(reader.next<std::uint16_t>());
    packet.flags = reader.next<std::uint32_t>();
    packet.buffer = reader.next<std::uint32_t>();
    packet.forwarded = reader.next<std::uint32_t>();
    return packet;
}

std::array<std::byte, header_size> encode(const Packet& packet) noexcept {
    HeaderWriter writer;
    writer.next(packet.source_cid);
    writer.next(packet.destination_cid);
    writer.next(packet.source_port);
    writer.next(packet.destination_port);
    writer.next(packet.length);
    writer.next(packet.type);
    writer.next(static_cast<std::uint16_t>(packet.operation));
    writer.next(packet.flags);
    writer.next(packet.buffer);
    writer.next(packet.forwarded);
    return writer.bytes;
}

Packet reset_for(const Packet& packet) noexcept {
    Packet reset;
    reset.source_cid = packet.destination_cid;
    reset.destination_cid = packet.source_cid;
    reset.source_port = packet.destination_port;
    reset.destination_port = packet.source_port;
    reset.type = packet.type;
    reset.operation = Operation::reset;
    return reset;
}

}  // namespace asyncvm::vsock
