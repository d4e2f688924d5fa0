/// The words after --serial: where a byte device goes, and how.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace asyncvm {

struct ChardevSpec {
    enum class Kind : std::uint8_t { null, stdio, file, pty, tcp, unix_socket };
    enum class Full : std::uint8_t {
        wait,  ///< the guest waits
        drop,  ///< the oldest output goes, is counted and reported
    };

    Kind kind = Kind::null;
    std::string host;        ///< tcp: a name or an address without brackets; empty: loopback
    std::uint16_t port = 0;  ///< tcp: 0 lets the kernel pick one
    std::string path;        ///< file, unix_socket

    bool client = false;  ///< tcp, unix_socket: connect (and reconnect) instead of listening
    bool telnet = false;  ///< tcp: speak telnet
    bool wait = false;    ///< the guest starts when the first client is there
    bool append = false;  ///< file: keep what is in it
    Full full = Full::wait;
    std::uint64_t backlog = 1 << 20;                  ///< bytes of output that are kept for the other side; at least 1
    std::uint64_t history = 0;                        ///< bytes of delivered output that each new client is shown again
    std::string log;                                  ///< a file that gets a copy of all output; empty: none
    std::optional<std::chrono::milliseconds> linger;  ///< how long drain() may take; empty: as long as it needs
    std::chrono::milliseconds reconnect{1000};        ///< client: from one attempt to the next
};

/// `tcp:[HOST:]PORT`, `telnet:[HOST:]PORT`, `unix:PATH`, `file:PATH`, `pty`, `stdio`, `null`, each with
/// `,option[=value]...`. A comma that belongs to a path is doubled. docs/serial.md lists the options. Throws Error(usage)
/// that says what is wrong and gives an example.
[[nodiscard]] ChardevSpec parse_chardev_spec(std::string_view text);

}  // namespace asyncvm
