// The bytes of a link: what its socket gives and takes. All with the link's mutex.
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "remote/link.hpp"
#include "text/errno_text.hpp"

namespace asyncvm::remote {

/// Returns false if there is nothing to read, or never will be. drained_: the next call would.
bool Link::receive() {
    const auto room = session_.reader().room();
    const auto got = ::recv(socket_.get(), room.data(), room.size(), MSG_DONTWAIT);
    // A socket that had less than what there was room for has nothing more now, and says so when it has.
    drained_ = got >= 0 && static_cast<std::size_t>(got) < room.size();
    if (got > 0) {
        session_.reader().took(static_cast<std::size_t>(got));
        return true;
    }
    if (got < 0 && errno == EINTR) return true;
    if (got < 0 && errno == EAGAIN && !broken_pipe_) return false;
    const bool closed = got == 0 || errno == ECONNRESET || errno == EAGAIN;
    end_locked(closed ? "it has closed the connection" : reason(errno));
    return false;
}

/// What is in out_; `descriptor` goes with its first byte.
void Link::send(int descriptor) {
    if (descriptor < 0) {
        flush();
        arm();
        return;
    }
    iovec piece{out_.data() + sent_, out_.size() - sent_};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr header{};
    header.msg_iov = &piece;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
    const auto sent = ::sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
        end_locked(errno == EAGAIN ? "it does not read what it is sent" : reason(errno));
        return;
    }
    sent_ += static_cast<std::size_t>(sent);
    flush();
    arm();
}

void Link::flush() {
    while (sent_ < out_.size() && !broken_pipe_) {
        const auto sent = ::send(socket_.get(), out_.data() + sent_, out_.size() - sent_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) {
            out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(std::exchange(sent_, 0)));
            return;
        }
        if (sent < 0) {
            // What it has said before it went is read first.
            broken_pipe_ = true;
            break;
        }
        const bool was_full = out_.size() - sent_ > most_unsent;
        sent_ += static_cast<std::size_t>(sent);
        if (was_full && out_.size() - sent_ <= most_unsent) changed_->notify();
    }
    out_.clear();
    sent_ = 0;
}

/// Tells the set what the loop is to be woken for.
void Link::arm() noexcept {
    const std::size_t unsent = out_.size() - sent_;
    std::uint32_t events = 0;
    if (!read_in_place_ && unsent <= most_unsent) events |= EPOLLIN;
    if (unsent != 0) events |= EPOLLOUT;
    if (std::exchange(armed_, events) != events) set_->change(socket_.get(), events);
}

}  // namespace asyncvm::remote
