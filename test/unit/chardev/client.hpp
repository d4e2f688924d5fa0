/// A blocking client of a stream socket.
#pragma once

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace asyncvm::test {

/// A piece of output that can be told from every other, `size` bytes with the newline at its end.
inline std::string block(unsigned number, std::size_t size = 100) {
    auto text = "<" + std::to_string(number) + ">";
    while (text.size() < size - 1) text += static_cast<char>('a' + (text.size() * 7 + number) % 26);
    return text + "\n";
}

/// `size` bytes of such pieces.
inline std::string text_of(std::size_t size) {
    std::string text;
    for (unsigned number = 0; text.size() < size; ++number) text += block(number, 32);
    return text.substr(0, size);
}

class Client {
public:
    /// From "tcp:127.0.0.1:PORT" or "unix:PATH". `receive_buffer` 0: the system's.
    explicit Client(const std::string& where, int receive_buffer = 0) {
        const bool local = where.starts_with("unix:");
        fd_ = ::socket(local ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        sockaddr_un unix_address{};
        sockaddr_in address{};
        if (local) {
            unix_address.sun_family = AF_UNIX;
            std::strncpy(unix_address.sun_path, where.c_str() + 5, sizeof unix_address.sun_path - 1);
        } else {
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(where.substr(where.rfind(':') + 1))));
        }
        const auto* target =
            local ? reinterpret_cast<const sockaddr*>(&unix_address) : reinterpret_cast<const sockaddr*>(&address);
        if (::connect(fd_, target, local ? sizeof unix_address : sizeof address) != 0) {
            const int error = errno;
            ::close(fd_);
            throw std::runtime_error(std::strerror(error));
        }
        // Not before: a connect() with a time limit can't go on after it was interrupted.
        const timeval limit{20, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    }
    explicit Client(int fd) : fd_(fd) {}
    Client(Client&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    ~Client() { close(); }

    void send(std::string_view text) {
        while (!text.empty()) {
            const auto n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
            if (interrupted(n)) continue;
            if (n <= 0) return;
            text.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    /// Up to `size` bytes: fewer at the end of the stream, a reset, or after the time limit.
    std::string receive(std::size_t size) {
        std::string text(size, '\0');
        std::size_t done = 0;
        while (done < size) {
            const auto n = ::recv(fd_, text.data() + done, size - done, 0);
            if (interrupted(n)) continue;
            if (n <= 0) {
                eof_ = n == 0;
                break;
            }
            done += static_cast<std::size_t>(n);
        }
        text.resize(done);
        // Delayed acknowledgements go out now: what has been read counts as arrived.
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
        return text;
    }
    std::string receive_all() { return receive(64 << 20); }
    bool eof() const { return eof_; }
    /// Sends a byte, and with it that everything so far has come; returns when the other side's kernel has that.
    void acknowledge() {
        send("!");
        int unsent = 1;
        for (int i = 0; i < 20'000 && ::ioctl(fd_, SIOCOUTQ, &unsent) == 0 && unsent != 0; ++i) ::usleep(1000);
    }
    /// Bytes that this side's kernel has and that have not been read.
    std::size_t unread() const {
        int bytes = 0;
        return ::ioctl(fd_, FIONREAD, &bytes) == 0 ? static_cast<std::size_t>(bytes) : 0;
    }
    /// From now on this side's kernel drops what comes over TCP, and acknowledges nothing.
    void deafen() {
        sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
        const sock_fprog program{1, &drop};
        if (::setsockopt(fd_, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
            throw std::runtime_error(std::strerror(errno));
    }
    void half_close() { ::shutdown(fd_, SHUT_WR); }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    /// Ends with a reset instead of an orderly close.
    void kill() {
        const linger now{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close();
    }
    int fd() const { return fd_; }

private:
    /// Also without any handler: a process that was stopped and goes on is told so by a socket with a time limit.
    static bool interrupted(ssize_t result) { return result < 0 && errno == EINTR; }

    int fd_ = -1;
    bool eof_ = false;
};

}  // namespace asyncvm::test
