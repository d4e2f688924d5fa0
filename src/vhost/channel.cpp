#include "vhost/channel.hpp"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "text/errno_text.hpp"

namespace asyncvm::vhost {

Channel::Channel(asio::io_context& loop, UniqueFd socket, std::chrono::milliseconds limit, std::shared_ptr<Event> changed)
    : loop_(loop), limit_(limit), changed_(std::move(changed)) {
    socket_.emplace(loop, socket.get());
    (void)socket.release();
}

void Channel::start() {
    asio::co_spawn(loop_, read(shared_from_this()), [](const std::exception_ptr&) {});
}

void Channel::close(const std::string& why) {
    if (!socket_) return;
    why_ = why;
    socket_.reset();
    changed_->notify();
}

UniqueFd Channel::release() {
    if (!socket_) return {};
    UniqueFd socket(socket_->release());
    close("it has been given away");
    return socket;
}

awaitable<std::string> Channel::exchange(Message message, Reply& reply) {
    if (!socket_) co_return why_;
    const bool answered = is_answered(message);
    // A back end that answers sooner than this has been asked.
    asked_ = answered;
    if (const auto problem = send(message); !problem.empty()) close(problem);
    const auto until = std::chrono::steady_clock::now() + limit_;
    for (;;) {
        const auto seen = changed_->generation();
        if (!socket_) co_return why_;
        if (!answered) co_return std::string();
        if (reply_) break;
        const auto now = std::chrono::steady_clock::now();
        if (now >= until) {
            close(fmt::format("it has not answered request {} for {} ms", static_cast<unsigned>(message.request),
                              limit_.count()));
            co_return why_;
        }
        co_await changed_->wait(seen, until - now);
    }
    reply = std::move(*reply_);
    reply_.reset();
    auto mistake = mistake_in(reply.answer, message);
    if (!mistake.empty()) close(mistake);
    co_return mistake;
}

/// All at once: a socket that does not take a message of this length has been full of them for a while.
std::string Channel::send(const Message& message) {
    auto bytes = bytes_of(message);
    iovec piece{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_regions * sizeof(int))> control{};
    if (!message.descriptors.empty()) {
        const std::size_t size = message.descriptors.size() * sizeof(int);
        header.msg_control = control.data();
        header.msg_controllen = CMSG_SPACE(size);
        cmsghdr* const rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(size);
        std::memcpy(CMSG_DATA(rights), message.descriptors.data(), size);
    }
    for (;;) {
        const auto sent = ::sendmsg(socket_->native_handle(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent == static_cast<ssize_t>(bytes.size())) return {};
        if (sent < 0 && errno == EINTR) continue;
        if (sent >= 0 || errno == EAGAIN) return "it does not read what it is sent";
        return errno == EPIPE || errno == ECONNRESET ? "it has closed the connection" : reason(errno);
    }
}

/// Returns false when there is nothing to read now, or the channel is closed.
bool Channel::read_some() {
    std::vector<std::byte> bytes(reader_.wanted());
    iovec piece{bytes.data(), bytes.size()};
    // Room for more than may come, so that the kernel drops none in silence.
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_regions * sizeof(int))> control{};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    const auto got = ::recvmsg(socket_->native_handle(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) return true;
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) {
        close(got == 0 || errno == ECONNRESET ? "it has closed the connection" : reason(errno));
        return false;
    }
    unsigned descriptors = 0;
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i, ++descriptors) {
            int descriptor = -1;
            std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof descriptor);
            descriptor_ = UniqueFd(descriptor);
        }
    }
    if ((header.msg_flags & MSG_CTRUNC) != 0) {
        close("it sends more descriptors than a message may have");
        return false;
    }
    reader_.take(std::span(bytes).first(static_cast<std::size_t>(got)), descriptors);
    if (!reader_.mistake().empty()) {
        close(reader_.mistake());
        return false;
    }
    if (auto answer = reader_.next()) {
        if (!std::exchange(asked_, false)) {
            close(fmt::format("it sends request {}, and was not asked", answer->request));
            return false;
        }
        reply_ = Reply{.answer = std::move(*answer), .descriptor = std::exchange(descriptor_, UniqueFd())};
        changed_->notify();
    }
    return true;
}

awaitable<void> Channel::read(std::shared_ptr<Channel> self) {
    while (self->socket_) {
        const bool more = self->read_some();
        if (more || !self->socket_) continue;
        co_await wait_for(*self->socket_, Watched::wait_read);
    }
}

}  // namespace asyncvm::vhost
