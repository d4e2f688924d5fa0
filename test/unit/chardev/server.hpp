/// A listening socket that a chardev connects to.
#pragma once

#include "client.hpp"

#include <poll.h>
#include <boost/test/unit_test.hpp>
#include <string>

namespace asyncvm::test {

class Server {
public:
    /// "tcp": a port of 127.0.0.1 that the kernel picks; or "unix:PATH".
    explicit Server(const std::string& where = "tcp") : where_(where) {
        const bool local = where.starts_with("unix:");
        fd_ = ::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un unix_address{};
        unix_address.sun_family = AF_UNIX;
        if (local) std::strncpy(unix_address.sun_path, where.c_str() + 5, sizeof unix_address.sun_path - 1);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        auto* const generic = local ? reinterpret_cast<sockaddr*>(&unix_address) : reinterpret_cast<sockaddr*>(&address);
        socklen_t size = local ? sizeof unix_address : sizeof address;
        BOOST_REQUIRE(::bind(fd_, generic, size) == 0);
        BOOST_REQUIRE(::listen(fd_, 16) == 0);
        if (local) return;
        BOOST_REQUIRE(::getsockname(fd_, generic, &size) == 0);
        where_ = "tcp:127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() { ::close(fd_); }

    [[nodiscard]] const std::string& where() const { return where_; }

    /// The next connection; within the time limit, or the test fails. `receive_buffer` 0: the system's.
    [[nodiscard]] Client accept(int receive_buffer = 0) const {
        constexpr int limit = 20'000;
        // What is accepted has the listener's buffer, from its first byte on.
        if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        pollfd entry{fd_, POLLIN, 0};
        BOOST_TEST_REQUIRE(::poll(&entry, 1, limit) == 1, "nobody connects");
        const int fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
        BOOST_REQUIRE(fd >= 0);
        const timeval time{limit / 1000, 0};
        ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
        ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
        return Client(fd);
    }

private:
    std::string where_;
    int fd_ = -1;
};

}  // namespace asyncvm::test
