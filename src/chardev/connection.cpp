#include <chardev/connection.hpp>

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace asyncvm {
namespace {

void set_option(int fd, int level, int name, int value) { (void)::setsockopt(fd, level, name, &value, sizeof value); }

bool is_local(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

struct TcpStatus {
    bool closed = false;
    std::optional<std::uint32_t> window;  ///< bytes that the peer's kernel has room for; since Linux 5.4
};

TcpStatus tcp_status(int fd) {
    // Linux's structure has grown since the one of <netinet/tcp.h>, and the headers of both exclude each other.
    constexpr std::size_t window_offset = 228;
    std::array<std::byte, 512> info{};
    socklen_t size = info.size();
    if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, info.data(), &size) != 0) return {};
    TcpStatus status;
    status.closed = info[offsetof(tcp_info, tcpi_state)] == std::byte{TCP_CLOSE};
    if (size >= window_offset + sizeof(std::uint32_t)) {
        std::uint32_t window = 0;
        std::memcpy(&window, info.data() + window_offset, sizeof window);
        status.window = window;
    }
    return status;
}

// The bytes that the kernel holds for the peer stay in this process's memory too, until they have arrived.
constexpr int tcp_send_buffer = 128 << 10;
// A message of 2 KiB takes 4,352 bytes of memory, and the socket is writable again when at most a quarter of twice this
// number is in use: one large message, or a few small ones, are under way at a time.
constexpr int local_send_buffer = 4096;
constexpr std::size_t local_message = 2048;
constexpr std::size_t tcp_message = 64 << 10;
constexpr std::size_t telnet_message = 8 << 10;
constexpr std::size_t most_replies = 1024;  // of a client that asks and does not read the answers
// What a client that goes can leave in this kernel, at most about twice this number: less than Queue::leftover_capacity.
constexpr int tcp_receive_buffer = 256 << 10;

}  // namespace

Connection::Connection(asio::io_context& loop, UniqueFd fd, bool telnet, bool ends_with_input)
    : socket_(fd.get()), fd_(loop), fsm_(is_local(fd.get()), ends_with_input) {
    fd_.assign(fd.get());
    (void)fd.release();
    if (fsm_.local()) {
        set_option(socket_, SOL_SOCKET, SO_SNDBUF, local_send_buffer);
    } else {
        set_option(socket_, SOL_SOCKET, SO_SNDBUF, tcp_send_buffer);
        set_option(socket_, SOL_SOCKET, SO_RCVBUF, tcp_receive_buffer);
        set_option(socket_, IPPROTO_TCP, TCP_NODELAY, 1);
        // Urgent data (telnet's Synch) is data like any other.
        set_option(socket_, SOL_SOCKET, SO_OOBINLINE, 1);
        // A host that vanished without a word is found out within two minutes.
        set_option(socket_, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(socket_, IPPROTO_TCP, TCP_KEEPIDLE, 60);
        set_option(socket_, IPPROTO_TCP, TCP_KEEPINTVL, 10);
        set_option(socket_, IPPROTO_TCP, TCP_KEEPCNT, 6);
    }
    if (telnet) telnet_.emplace();
}

void Connection::admit(Queue& queue) {
    if (over()) return;
    map_ = WireMap(queue.rewind());
    if (telnet_) {
        wire_ = telnet_->greeting();
        map_.inserted(wire_.size());
    }
    admitted_ = true;
    fsm_.connected();
}

void Connection::note_error(int error) {
    if (error == EPIPE) {
        fsm_.refused(Clock::now());
    } else {
        fsm_.failed();
    }
}

/// Reports to the queue how much has arrived.
void Connection::acknowledge(Queue& queue) {
    int held = 0;
    if (::ioctl(socket_, SIOCOUTQ, &held) != 0) return;
    if (fsm_.local()) {
        // Asked in this order: a close in between shows.
        int error = 0;
        socklen_t size = sizeof error;
        if (::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error != 0) note_error(error);
    }
    const auto before = fsm_.arrived();
    fsm_.unacknowledged(static_cast<std::uint64_t>(held), Clock::now());
    if (admitted_ && fsm_.arrived() != before) queue.deliver(map_.acknowledge(fsm_.arrived()));
}

void Connection::look(Queue& queue) {
    if (over()) return;
    pollfd entry{socket_, POLLRDHUP, 0};
    (void)::poll(&entry, 1, 0);
    acknowledge(queue);
    if ((entry.revents & (POLLRDHUP | POLLHUP)) != 0) fsm_.peer_ended();
    if (fsm_.local()) {
        if ((entry.revents & POLLHUP) != 0) fsm_.hung_up(Clock::now());
        return;
    }
    const auto tcp = tcp_status(socket_);
    if (tcp.closed) fsm_.failed();
    if (tcp.window) fsm_.window(*tcp.window);
    if ((entry.revents & POLLERR) != 0) fsm_.failed();
    if ((entry.revents & POLLHUP) != 0) fsm_.hung_up(Clock::now());
}

/// Moves answers and a part of the queue into wire_. Returns whether there is anything in it.
bool Connection::encode(Queue& queue) {
    wire_.assign(replies_.begin(), replies_.end());
    wire_done_ = 0;
    map_.inserted(replies_.size());
    replies_.clear();
    queue.next(Queue::Reader::client, telnet_message, batch_);
    if (batch_.position > map_.position()) map_.skipped(batch_.position - map_.position());
    for (const auto& piece : batch_.pieces) {
        for (auto rest = piece.bytes; !rest.empty();) {
            const auto special = std::find(rest.begin(), rest.end(), Telnet::iac);
            const auto plain = rest.first(static_cast<std::size_t>(special - rest.begin()));
            wire_.insert(wire_.end(), plain.begin(), plain.end());
            map_.plain(plain.size());
            rest = rest.subspan(plain.size());
            if (rest.empty()) break;
            wire_.insert(wire_.end(), 2, Telnet::iac);
            map_.doubled(1);
            rest = rest.subspan(1);
        }
    }
    queue.take(Queue::Reader::client, batch_.position + batch_.size);
    return !wire_.empty();
}

/// Returns whether all of wire_ is sent.
bool Connection::send_wire() {
    while (wire_done_ < wire_.size()) {
        const auto sent = ::send(socket_, wire_.data() + wire_done_, wire_.size() - wire_done_, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            wire_done_ += static_cast<std::size_t>(sent);
            fsm_.sent(static_cast<std::uint64_t>(sent));
        } else if (errno == EAGAIN) {
            fsm_.not_writable();
            return false;
        } else if (errno != EINTR) {
            note_error(errno);
            return false;
        }
    }
    return true;
}

/// As send_plain().
bool Connection::send_encoded(Queue& queue, bool& all) {
    if (wire_done_ == wire_.size() && !encode(queue)) {
        all = true;
        return true;
    }
    if (!send_wire()) return false;
    all = batch_.last && replies_.empty();
    return true;
}

/// Sends one message. Returns false if that did not go; `all`: nothing was behind it.
bool Connection::send_plain(Queue& queue, bool& all) {
    const auto limit = fsm_.local() ? local_message : tcp_message;
    queue.next(Queue::Reader::client, limit, batch_);
    if (batch_.position > map_.position()) map_.skipped(batch_.position - map_.position());
    all = batch_.size == 0;
    if (all) return true;
    std::array<iovec, 64> parts{};
    msghdr message{};
    message.msg_iov = parts.data();
    for (const auto& piece : batch_.pieces) {
        parts[message.msg_iovlen++] = {const_cast<std::byte*>(piece.bytes.data()), piece.bytes.size()};
    }
    const auto sent = ::sendmsg(socket_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EINTR) return true;
    if (sent < 0) {
        if (errno == EAGAIN) {
            fsm_.not_writable();
        } else {
            note_error(errno);
        }
        return false;
    }
    const auto bytes = static_cast<std::uint64_t>(sent);
    fsm_.sent(bytes);
    map_.plain(bytes);
    queue.take(Queue::Reader::client, batch_.position + bytes);
    all = batch_.ends_at(batch_.position + bytes);
    return true;
}

bool Connection::send(Queue& queue) {
    constexpr int turns = 16;
    for (int turn = 0; turn < turns && !over(); ++turn) {
        acknowledge(queue);
        if (fsm_.output() != ConnectionFsm::Output::write) return true;
        bool all = false;
        if (!(telnet_ ? send_encoded(queue, all) : send_plain(queue, all))) return true;
        if (!all) continue;
        fsm_.nothing_to_send();
        return true;
    }
    return false;
}

/// What the peer has sent goes to the guest; `beyond_room`: also what there is no room for. Returns how many bytes had to be
/// thrown away.
std::uint64_t Connection::give_input(std::span<const std::byte> bytes, Queue& queue, bool beyond_room) {
    const auto push = [&queue, beyond_room](std::span<const std::byte> part) -> std::uint64_t {
        if (beyond_room) return part.size() - queue.push_leftover(part);
        queue.push_input(part);
        return 0;
    };
    if (!telnet_) return fsm_.discards() ? 0 : push(bytes);
    decoded_ = {};
    telnet_->decode(bytes, decoded_);
    if (decoded_.size) queue.set_terminal_size(*decoded_.size);
    const auto& reply = decoded_.reply;
    if (replies_.size() + reply.size() <= most_replies) replies_.insert(replies_.end(), reply.begin(), reply.end());
    if (!replies_.empty()) queue.output(Queue::Reader::client).notify();
    if (fsm_.discards()) return 0;
    std::uint64_t thrown_away = 0;
    std::size_t done = 0;
    const std::span<const std::byte> data(decoded_.data);
    for (const auto at : decoded_.breaks) {
        thrown_away += push(data.subspan(done, at - done));
        queue.push_break();
        done = at;
    }
    return thrown_away + push(data.subspan(done));
}

bool Connection::receive(Queue& queue) {
    std::array<std::byte, 4096> buffer;
    const auto room = fsm_.discards() ? buffer.size() : std::min(buffer.size(), queue.input_room());
    if (room == 0) {
        fsm_.no_room();
        return true;
    }
    const auto got = ::recv(socket_, buffer.data(), room, MSG_DONTWAIT);
    if (got > 0) {
        fsm_.received();
        (void)give_input(std::span(buffer).first(static_cast<std::size_t>(got)), queue, false);
        return false;
    }
    if (got == 0) {
        fsm_.input_ended(Clock::now());
        // Whether it has gone altogether shows when its host has forgotten it, about a minute after: ask from time to time.
        if (!fsm_.local()) set_option(socket_, IPPROTO_TCP, TCP_KEEPIDLE, 10);
        return true;
    }
    if (errno == EINTR) return false;
    if (errno == EAGAIN) {
        fsm_.nothing_to_read();
    } else {
        note_error(errno);
    }
    return true;
}

std::uint64_t Connection::hand_over(Queue& queue) {
    // A peer that goes on sending must not hold this up.
    constexpr std::size_t most = 2 * Queue::leftover_capacity;
    std::array<std::byte, 4096> buffer;
    std::uint64_t thrown_away = 0;
    for (std::size_t total = 0; total < most;) {
        const auto got = ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        total += static_cast<std::size_t>(got);
        if (fsm_.discards()) continue;
        thrown_away += give_input(std::span(buffer).first(static_cast<std::size_t>(got)), queue, true);
    }
    fsm_.handed_over();
    return thrown_away;
}

std::uint64_t Connection::settle(Queue& queue) {
    std::uint64_t thrown_away = 0;
    for (;;) {
        look(queue);
        switch (fsm_.ending(Clock::now())) {
            case ConnectionFsm::Ending::shut_output:
                shut_output();
                break;
            case ConnectionFsm::Ending::hand_over:
                thrown_away += hand_over(queue);
                break;
            case ConnectionFsm::Ending::close:
                close(false);
                return thrown_away;
            case ConnectionFsm::Ending::reset:
                close(true);
                return thrown_away;
            case ConnectionFsm::Ending::wait:
            case ConnectionFsm::Ending::over:
                return thrown_away;
        }
    }
}

void Connection::shut_output() {
    const bool counts = ::shutdown(socket_, SHUT_WR) == 0 && !fsm_.local();
    fsm_.output_shut(counts);
    // A probe each second: the answers tell the peer's window, which it may otherwise widen without a word.
    if (!fsm_.local()) {
        set_option(socket_, IPPROTO_TCP, TCP_KEEPIDLE, 1);
        set_option(socket_, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    }
}

void Connection::close(bool reset) {
    if (reset) {
        const linger at_once{1, 0};
        (void)::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    std::error_code ignored;
    fd_.close(ignored);
    fsm_.closed();
}

}  // namespace asyncvm
