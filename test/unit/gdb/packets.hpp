/// The other side of gdb's remote protocol.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gdb/packet.hpp"

namespace asyncvm::test {

inline std::vector<gdb::Received> received(gdb::PacketReader& reader, std::string_view stream) {
    std::vector<gdb::Received> all;
    reader.take(std::as_bytes(std::span(stream)), all);
    return all;
}

/// The text in a packet, as gdb reads it: runs are written out, escapes undone.
inline std::string unpack(std::string_view packet) {
    std::string text;
    packet = packet.substr(1, packet.size() - 4);
    for (std::size_t i = 0; i < packet.size(); ++i) {
        if (packet[i] == '}') {
            ++i;
            text += static_cast<char>(packet[i] ^ 0x20);
        } else if (packet[i] == '*') {
            ++i;
            text.append(static_cast<std::size_t>(packet[i] - 29), text.back());
        } else {
            text += packet[i];
        }
    }
    return text;
}

}  // namespace asyncvm::test
