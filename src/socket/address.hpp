/// Addresses of stream sockets: names to addresses, addresses to text, listening.
#pragma once

#include <os/put_back.hpp>
#include <os/unique_fd.hpp>

#include <sys/socket.h>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm {

struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    [[nodiscard]] int family() const noexcept { return storage.ss_family; }
};

/// A name or an address without brackets, and a port.
struct HostPort {
    std::string host;        ///< empty: loopback
    std::uint16_t port = 0;  ///< 0: the kernel picks one, for listening
};

/// Parses `[HOST:]PORT`; an IPv6 address stands in brackets. Returns an empty text, or what is wrong, with an example.
[[nodiscard]] std::string parse_host_port(std::string_view text, HostPort& where);

/// In words, with its host: "tcp:127.0.0.1:4444", "tcp:[::1]:0".
[[nodiscard]] std::string tcp_text(const HostPort& where);

/// "tcp:127.0.0.1:4444", "unix:/tmp/a".
[[nodiscard]] std::string to_string(const SocketAddress& address);

/// Throws Error(usage) if the path is too long.
[[nodiscard]] SocketAddress unix_address(const std::string& path);

/// Whether this is a word of QEMU's for what is so in any case, of a socket that listens and that nobody waits for: "server",
/// "server=on", "nowait", "wait=off".
[[nodiscard]] bool says_that_it_listens(std::string_view word) noexcept;

/// What HOST:PORT means for listening, IPv4 first. Blocks while a name is looked up. Throws Error(host).
[[nodiscard]] std::vector<SocketAddress> resolve_listen(const HostPort& where);

/// Has the peer's kernel acknowledge sooner, if the connection stays on this host. Before listen() or connect().
///
/// Linux acknowledges at once what is larger than a segment, and the rest up to 40 ms late. When the peer dies by a reset
/// meanwhile, nobody can tell that it had got those bytes, and the next client gets them again. With the smallest segments
/// that is less than 88 bytes, and costs nothing here: it is only on a wire that data is cut into segments.
void use_small_segments(int fd, const SocketAddress& address) noexcept;

/// Listens on TCP and sets `address` to where. Throws Error(host).
[[nodiscard]] UniqueFd listen_tcp(const HostPort& where, SocketAddress& address);

/// Listens at a path; a socket file that nobody listens at is replaced. `file` removes the new one on every way out, if it
/// is still there. `mode`: who may connect, less what the umask forbids. Throws Error(host).
[[nodiscard]] UniqueFd listen_unix(const std::string& path, std::optional<PutBack>& file, mode_t mode = 0777);

/// A datagram socket at a path, under the same rules. Throws Error(host).
[[nodiscard]] UniqueFd bind_datagrams(const std::string& path, std::optional<PutBack>& file);

}  // namespace asyncvm
