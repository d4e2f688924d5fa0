/// The other end of a byte device: a stream socket that does nothing unless it is told to.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace program_test {

/// A connection. All functions that wait throw std::runtime_error when nothing has happened for `patience`.
class Peer {
public:
    /// Takes over a connected socket.
    explicit Peer(int fd) noexcept : fd_(fd) {}
    ~Peer() { close(); }
    Peer(Peer&& other) noexcept;
    Peer& operator=(Peer&& other) noexcept;

    /// Connects to "tcp:HOST:PORT", HOST a number and an IPv6 one in brackets, or to "unix:PATH". `receive_buffer` bytes
    /// are what the kernel is asked to keep for a slow reader; 0: as many as it likes. Throws if nobody listens.
    [[nodiscard]] static Peer connect(const std::string& address, int receive_buffer = 0);

    /// All of it.
    void write(std::string_view text);
    /// Exactly so many bytes. Throws if the stream ends before.
    [[nodiscard]] std::string read(std::size_t count);
    /// What there is, at most `most` bytes, at least one; nothing at the end of the stream.
    [[nodiscard]] std::string read_some(std::size_t most = 65536);
    /// Everything up to the end of the stream. Throws if that is a reset.
    [[nodiscard]] std::string read_to_end();
    /// Waits until there is something to read, and leaves it where it is.
    void wait_for_data();
    /// From now on this side's kernel drops what comes over TCP, and acknowledges none of it; unread() stays what it is.
    void take_no_more();
    /// Sends a byte over TCP, and with it that everything so far has come; returns when the other side's kernel has that.
    void acknowledge();
    /// Bytes that this side's kernel has received and that have not been read.
    [[nodiscard]] std::size_t unread() const;

    /// Sends no more, but reads on.
    void half_close();
    void close() noexcept;
    /// Closes the way the kernel does it for a process that dies with unread input: by a reset.
    void reset() noexcept;

private:
    void wait(short events);

    int fd_;
};

/// Listens on a port of 127.0.0.1 that the kernel picks.
class Server {
public:
    Server();
    ~Server() { stop(); }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    [[nodiscard]] int port() const noexcept { return port_; }
    [[nodiscard]] Peer accept();
    /// From now on connections are refused, until start().
    void stop() noexcept;
    /// Listens on the same port again.
    void start();

private:
    int fd_ = -1;
    int port_ = 0;
};

}  // namespace program_test
