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

namespace asyncvm {
namespace {

void set_option(int fd, int level, int name, int value) { (void)::setsockopt(fd, level, name, &value, sizeof value); }

bool is_local(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

// What the kernel holds for the peer stays in our memory too, until it has arrived.
constexpr int tcp_send_buffer = 128 << 10;
// A message of 2 KiB takes 4,352 bytes of memory, and the socket is writable again when at most a quarter of twice this
// number is in use: one large message, or a few small ones, are under way at a time.
constexpr int local_send_buffer = 4096;
constexpr std::size_t local_message = 2048;
constexpr std::size_t tcp_message = 64 << 10;
constexpr std::size_t telnet_message = 8 << 10;
constexpr std::size_t most_replies = 1024;  // of a client that asks and does not read the answers

}  // namespace

Connection::Connection(asio::io_context& loop, UniqueFd fd, bool telnet)
    : socket_(fd.get()), fd_(loop, fd.get()), local_(is_local(fd.get())) {
    (void)fd.release();
    if (local_) {
        set_option(socket_, SOL_SOCKET, SO_SNDBUF, local_send_buffer);
    } else {
        set_option(socket_, SOL_SOCKET, SO_SNDBUF, tcp_send_buffer);
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
    map_ = WireMap(queue.rewind());
    if (telnet_) {
        wire_ = telnet_->greeting();
        map_.inserted(wire_.size());
    }
    admitted_ = true;
}

long Connection::unarrived() const {
    int bytes = 0;
    if (::ioctl(socket_, SIOCOUTQ, &bytes) != 0) return -1;
    return bytes;
}

void Connection::sample(Queue& queue) {
    if (!admitted_ || over_) return;
    auto left = unarrived();
    if (left < 0) return;
    // An end of file has a place in TCP's numbers, the last one: if anything is under way, it is.
    if (end_sent_ && left > 0) --left;
    auto arrived = sent_ - std::min(sent_, static_cast<std::uint64_t>(left));
    // Asked in this order: a close in between shows.
    if (local_ && dead()) {
        int error = 0;
        socklen_t size = sizeof error;
        (void)::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size);
        reset_ = reset_ || error == ECONNRESET;
        arrived = reset_ ? arrived_ : sent_;
    }
    if (arrived <= arrived_) return;
    arrived_ = arrived;
    queue.deliver(map_.acknowledge(arrived_));
}

bool Connection::dead() const {
    pollfd entry{socket_, 0, 0};
    return ::poll(&entry, 1, 0) == 1 && (entry.revents & (POLLHUP | POLLERR)) != 0;
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

Connection::Progress Connection::send_wire() {
    while (wire_done_ < wire_.size()) {
        const auto sent = ::send(socket_, wire_.data() + wire_done_, wire_.size() - wire_done_, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno == EAGAIN ? Progress::blocked : Progress::failed;
        wire_done_ += static_cast<std::size_t>(sent);
        sent_ += static_cast<std::uint64_t>(sent);
    }
    return Progress::idle;
}

Connection::Progress Connection::pump(Queue& queue) {
    if (!admitted_ || over_ || half_closed_) return Progress::idle;
    constexpr int turns = 16;
    for (int turn = 0; turn < turns; ++turn) {
        sample(queue);
        if (telnet_) {
            const auto progress = send_wire();
            if (progress != Progress::idle) return progress;
            if (!encode(queue)) return Progress::idle;
            continue;
        }
        const auto limit = local_ ? local_message : tcp_message;
        queue.next(Queue::Reader::client, limit, batch_);
        if (batch_.position > map_.position()) map_.skipped(batch_.position - map_.position());
        if (batch_.size == 0) return Progress::idle;
        std::array<iovec, 64> parts{};
        msghdr message{};
        message.msg_iov = parts.data();
        for (const auto& piece : batch_.pieces) {
            parts[message.msg_iovlen++] = {const_cast<std::byte*>(piece.bytes.data()), piece.bytes.size()};
        }
        const auto sent = ::sendmsg(socket_, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno == EAGAIN ? Progress::blocked : Progress::failed;
        sent_ += static_cast<std::uint64_t>(sent);
        map_.plain(static_cast<std::uint64_t>(sent));
        queue.take(Queue::Reader::client, batch_.position + static_cast<std::uint64_t>(sent));
        // Who writes while this sends would be chased with a message for each few bytes: they are collected instead.
        if (batch_.size < limit && static_cast<std::size_t>(sent) == batch_.size) return Progress::idle;
    }
    return Progress::more;
}

Connection::Input Connection::receive(Queue& queue) {
    std::array<std::byte, 4096> buffer;
    const auto room = half_closed_ ? buffer.size() : std::min(buffer.size(), queue.input_room());
    if (room == 0) return Input::no_room;
    const auto got = ::recv(socket_, buffer.data(), room, MSG_DONTWAIT);
    if (got < 0) {
        if (errno == EINTR) return Input::got;
        if (errno == EAGAIN) return Input::none;
        reset_ = reset_ || errno == ECONNRESET;
        return Input::failed;
    }
    if (got == 0) {
        eof_ = true;
        sent_at_eof_ = sent_;
        // Whether it has gone altogether shows when its host has forgotten it, about a minute after: ask from time to time.
        if (!local_) set_option(socket_, IPPROTO_TCP, TCP_KEEPIDLE, 10);
        return Input::eof;
    }
    heard_ = true;
    if (half_closed_) return Input::got;
    const auto bytes = std::span(buffer).first(static_cast<std::size_t>(got));
    if (!telnet_) {
        queue.push_input(bytes);
        return Input::got;
    }
    std::vector<std::byte> data;
    std::vector<std::byte> reply;
    telnet_->decode(bytes, data, reply);
    queue.push_input(data);
    if (replies_.size() + reply.size() <= most_replies) replies_.insert(replies_.end(), reply.begin(), reply.end());
    if (!replies_.empty()) queue.output(Queue::Reader::client).notify();
    return Input::got;
}

void Connection::half_close() {
    if (half_closed_ || over_) return;
    half_closed_ = true;
    end_sent_ = ::shutdown(socket_, SHUT_WR) == 0 && !local_;
}

void Connection::close(Queue& queue) {
    if (over_) return;
    sample(queue);
    over_ = true;
    // Unread input would turn the close into a reset, which takes from the peer what it has not read yet.
    std::array<std::byte, 4096> buffer;
    constexpr int most = 64;
    for (int i = 0; i<most&& ::recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT)> 0; ++i) {
    }
    std::error_code ignored;
    fd_.close(ignored);
}

}  // namespace asyncvm
