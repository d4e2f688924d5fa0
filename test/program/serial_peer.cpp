#include "serial_peer.hpp"

#include "harness.hpp"

#include <linux/filter.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace program_test {

namespace {

[[noreturn]] void fail(const std::string& what) { throw std::system_error(errno, std::generic_category(), what); }

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address unix_address(std::string_view path) {
    Address address;
    auto& local = reinterpret_cast<sockaddr_un&>(address.storage);
    if (path.size() >= sizeof local.sun_path) throw std::runtime_error("the path of a unix socket is too long");
    local.sun_family = AF_UNIX;
    path.copy(local.sun_path, path.size());
    address.size = sizeof local;
    return address;
}

Address tcp_address(std::string_view text) {
    const auto colon = text.rfind(':');
    std::string host(text.substr(0, colon));
    if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const std::string port(text.substr(colon + 1));
    if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0) {
        throw std::runtime_error(std::string(text) + ": " + ::gai_strerror(error));
    }
    Address address;
    std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
    address.size = found->ai_addrlen;
    ::freeaddrinfo(found);
    return address;
}

Address address_of(std::string_view text) {
    if (text.starts_with("unix:")) return unix_address(text.substr(5));
    if (text.starts_with("tcp:")) return tcp_address(text.substr(4));
    throw std::runtime_error("no address: " + std::string(text));
}

}  // namespace

Peer::Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Peer& Peer::operator=(Peer&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
}

Peer Peer::connect(const std::string& address, int receive_buffer) {
    const auto target = address_of(address);
    const int fd = ::socket(target.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) fail("socket");
    Peer peer(fd);
    if (receive_buffer != 0) ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (::connect(fd, target.get(), target.size) != 0) fail("connect to " + address);
    return peer;
}

void Peer::wait(short events) {
    pollfd poll{fd_, events, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    const int ready = ::poll(&poll, 1, static_cast<int>(limit.count()));
    if (ready < 0) fail("poll");
    if (ready == 0) throw std::runtime_error(events == POLLIN ? "nothing came on the socket" : "the socket takes nothing");
}

void Peer::wait_for_data() { wait(POLLIN); }

void Peer::write(std::string_view text) {
    while (!text.empty()) {
        wait(POLLOUT);
        const auto sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            text.remove_prefix(static_cast<std::size_t>(sent));
        } else if (errno != EAGAIN) {
            fail("send");
        }
    }
}

std::string Peer::read_some(std::size_t most) {
    wait(POLLIN);
    std::string text(most, '\0');
    const auto got = ::recv(fd_, text.data(), text.size(), 0);
    if (got < 0) fail("recv");
    text.resize(static_cast<std::size_t>(got));
    return text;
}

std::string Peer::read(std::size_t count) {
    std::string text;
    while (text.size() < count) {
        const auto part = read_some(count - text.size());
        if (part.empty()) {
            throw std::runtime_error("the stream ended after " + std::to_string(text.size()) + " of " +
                                     std::to_string(count) + " bytes");
        }
        text += part;
    }
    return text;
}

std::string Peer::read_to_end() {
    std::string text;
    for (;;) {
        const auto part = read_some();
        if (part.empty()) return text;
        text += part;
    }
}

void Peer::take_no_more() {
    // It sees a segment from TCP's header on, whose length in words is in the upper half of byte 12.
    std::array<sock_filter, 8> headers_only{{
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 12),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 4),
        BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 2),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    }};
    const sock_fprog program{headers_only.size(), headers_only.data()};
    if (::setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) fail("SO_ATTACH_FILTER");
}

void Peer::acknowledge() {
    write("!");
    const auto until = std::chrono::steady_clock::now() + patience;
    for (int unsent = 1; unsent != 0;) {
        if (std::chrono::steady_clock::now() > until) throw std::runtime_error("the other side does not acknowledge");
        if (::ioctl(fd_, SIOCOUTQ, &unsent) != 0) fail("SIOCOUTQ");
        if (unsent != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

std::size_t Peer::unread() const {
    int bytes = 0;
    if (::ioctl(fd_, FIONREAD, &bytes) != 0) fail("FIONREAD");
    return static_cast<std::size_t>(bytes);
}

void Peer::half_close() {
    if (::shutdown(fd_, SHUT_WR) != 0) fail("shutdown");
}

void Peer::close() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

void Peer::reset() noexcept {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
}

Server::Server() { start(); }

void Server::start() {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket");
    const int on = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (::bind(fd_, generic, size) != 0 || ::listen(fd_, 16) != 0) fail("listen");
    if (::getsockname(fd_, generic, &size) != 0) fail("getsockname");
    port_ = ntohs(address.sin_port);
}

void Server::stop() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

Peer Server::accept() {
    pollfd poll{fd_, POLLIN, 0};
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience);
    if (::poll(&poll, 1, static_cast<int>(limit.count())) != 1) throw std::runtime_error("nobody has connected");
    const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) fail("accept");
    return Peer(fd);
}

}  // namespace program_test
