#include <fmt/format.h>
#include <async/signals_blocked.hpp>
#include <asyncvm/error.hpp>
#include <socket/address.hpp>
#include <text/errno_text.hpp>
#include <text/parse.hpp>

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <optional>

namespace asyncvm {
namespace {

constexpr int pending_clients = 128;

/// A socket file, and whose it is.
struct SocketFile {
    dev_t device;
    ino_t inode;
    sockaddr_un address;
};

/// Removes the file, if it is still the one that was made. Async-signal-safe.
void remove_file(const SocketFile& file) noexcept {
    struct stat status {};
    const char* const path = file.address.sun_path;
    if (::lstat(path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
    if (status.st_dev == file.device && status.st_ino == file.inode) (void)::unlink(path);
}

[[noreturn]] void cannot_listen(const std::string& where, int error) {
    std::string hint;
    if (error == EADDRINUSE) hint = " (another asyncvm? take another port, or port 0 to have one picked)";
    if (error == EADDRNOTAVAIL) hint = " (this host has no such address; 0.0.0.0 stands for all that it has)";
    if (error == EACCES) hint = " (ports below 1024 are root's: take a higher one)";
    throw Error(ErrorKind::host, fmt::format("cannot listen on {}: {}{}", where, reason(error), hint));
}

}  // namespace

std::string parse_host_port(std::string_view text, HostPort& where) {
    std::string_view port = text;
    if (!text.empty() && text.front() == '[') {
        const auto close = text.find("]:");
        if (close == text.npos) return "an IPv6 address is followed by ]:PORT (for example tcp:[::1]:4444)";
        where.host = text.substr(1, close - 1);
        if (where.host.empty()) return "no address between the brackets (for example tcp:[::1]:4444)";
        port = text.substr(close + 2);
    } else if (const auto colon = text.rfind(':'); colon != text.npos) {
        where.host = text.substr(0, colon);
        if (where.host.find(':') != where.host.npos)
            return "an IPv6 address stands in brackets (for example tcp:[::1]:4444)";
        port = text.substr(colon + 1);
    }
    if (port.empty()) return "the port is missing (for example tcp:4444, or tcp:0 to have one picked)";
    const auto number = parse_number(port);
    if (!number || *number > 65535) {
        return fmt::format("port {} is not a number from 0 to 65535 (for example tcp:4444)", port);
    }
    where.port = static_cast<std::uint16_t>(*number);
    return {};
}

bool says_that_it_listens(std::string_view word) noexcept {
    return word == "server" || word == "server=on" || word == "nowait" || word == "wait=off";
}

std::string tcp_text(const HostPort& where) {
    const auto host = where.host.empty() ? std::string("127.0.0.1") : where.host;
    return fmt::format(fmt::runtime(host.find(':') == host.npos ? "tcp:{}:{}" : "tcp:[{}]:{}"), host, where.port);
}

std::string to_string(const SocketAddress& address) {
    if (address.family() == AF_UNIX) {
        return fmt::format("unix:{}", reinterpret_cast<const sockaddr_un*>(&address.storage)->sun_path);
    }
    char host[NI_MAXHOST] = "?";
    char port[NI_MAXSERV] = "?";
    (void)::getnameinfo(address.get(), address.size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    return fmt::format(fmt::runtime(address.family() == AF_INET6 ? "tcp:[{}]:{}" : "tcp:{}:{}"), host, port);
}

SocketAddress unix_address(const std::string& path) {
    SocketAddress address;
    auto& local = reinterpret_cast<sockaddr_un&>(address.storage);
    if (path.size() >= sizeof local.sun_path) {
        throw Error(ErrorKind::usage,
                    fmt::format("unix:{}: the path has {} bytes, the system allows {} (take a shorter one, "
                                "or one that is relative to the current directory)",
                                path, path.size(), sizeof local.sun_path - 1));
    }
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, path.c_str(), path.size() + 1);
    address.size = sizeof local;
    return address;
}

std::vector<SocketAddress> resolve_listen(const HostPort& where) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* list = nullptr;
    const auto host = where.host.empty() ? std::string("127.0.0.1") : where.host;
    if (const int error = ::getaddrinfo(host.c_str(), std::to_string(where.port).c_str(), &hints, &list); error != 0) {
        throw Error(ErrorKind::host, fmt::format("cannot listen on {}: {} (is the host's name right?)", tcp_text(where),
                                                 error == EAI_SYSTEM ? reason(errno) : ::gai_strerror(error)));
    }
    std::vector<SocketAddress> addresses;
    for (const bool v4 : {true, false}) {
        for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) {
            if ((entry->ai_family == AF_INET) != v4) continue;
            SocketAddress address;
            std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
            address.size = entry->ai_addrlen;
            addresses.push_back(address);
        }
    }
    ::freeaddrinfo(list);
    return addresses;
}

void use_small_segments(int fd, const SocketAddress& address) noexcept {
    constexpr int smallest = 88;  // Linux takes no less
    bool loopback = false;
    if (address.family() == AF_INET) {
        const auto& ipv4 = reinterpret_cast<const sockaddr_in&>(address.storage);
        loopback = ntohl(ipv4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    } else if (address.family() == AF_INET6) {
        const auto& ipv6 = reinterpret_cast<const sockaddr_in6&>(address.storage);
        loopback = IN6_IS_ADDR_LOOPBACK(&ipv6.sin6_addr);
    }
    if (loopback) (void)::setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &smallest, sizeof smallest);
}

UniqueFd listen_tcp(const HostPort& where, SocketAddress& address) {
    int error = EADDRNOTAVAIL;
    for (const auto& candidate : resolve_listen(where)) {
        UniqueFd fd(::socket(candidate.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const int on = 1;
        use_small_segments(fd.get(), candidate);
        if (fd.valid() && ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
            ::bind(fd.get(), candidate.get(), candidate.size) == 0 && ::listen(fd.get(), pending_clients) == 0) {
            address.size = sizeof address.storage;
            if (::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address.storage), &address.size) == 0) return fd;
        }
        error = errno;
    }
    cannot_listen(tcp_text(where), error);
}

namespace {

UniqueFd bind_unix(const std::string& path, int type, std::optional<PutBack>& file, mode_t mode) {
    const auto address = unix_address(path);
    const auto where = "unix:" + path;
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0) {
        if (!S_ISSOCK(status.st_mode)) {
            throw Error(ErrorKind::host,
                        fmt::format("cannot listen on {}: there is a file that is no socket (take another path)", where));
        }
        const UniqueFd probe(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (probe.valid() && (::connect(probe.get(), address.get(), address.size) == 0 || errno == EAGAIN)) {
            throw Error(ErrorKind::host, fmt::format("cannot listen on {}: somebody listens there already (another asyncvm? "
                                                     "take another path)",
                                                     where));
        }
        // Only a file that nobody listens at is a left-over; whatever else connect() finds, bind() reports.
        if (errno == ECONNREFUSED) (void)::unlink(path.c_str());
    }
    UniqueFd fd(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    // A signal that ends the process between bind() and `file` would leave the file behind.
    const SignalsBlocked unfinished;
    // The file gets the socket's mode: it is never there with another one.
    if (!fd.valid() || ::fchmod(fd.get(), mode) != 0 || ::bind(fd.get(), address.get(), address.size) != 0) {
        const int error = errno;
        throw Error(ErrorKind::host, fmt::format("cannot listen on {}: {}{}", where, reason(error),
                                                 error == ENOENT ? " (the directory must exist)" : ""));
    }
    if (::lstat(path.c_str(), &status) == 0)
        file.emplace(&remove_file,
                     SocketFile{status.st_dev, status.st_ino, reinterpret_cast<const sockaddr_un&>(address.storage)});
    return fd;
}

}  // namespace

UniqueFd listen_unix(const std::string& path, std::optional<PutBack>& file, mode_t mode) {
    UniqueFd fd = bind_unix(path, SOCK_STREAM, file, mode);
    if (::listen(fd.get(), pending_clients) != 0) {
        const int error = errno;
        file.reset();
        cannot_listen("unix:" + path, error);
    }
    return fd;
}

UniqueFd bind_datagrams(const std::string& path, std::optional<PutBack>& file) {
    return bind_unix(path, SOCK_DGRAM, file, 0777);
}

}  // namespace asyncvm
