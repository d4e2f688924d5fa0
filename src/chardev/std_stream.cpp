#include <fmt/format.h>
#include <chardev/std_stream.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>

namespace asyncvm {

StdStream::StdStream(asio::io_context& loop, int fd, bool writing) : fd_(fd), writing_(writing), kind_(classify()) {
    if (kind_ == Kind::own) {
        watched_.emplace(loop, ::dup(again_.get()));
    } else if (kind_ == Kind::socket || kind_ == Kind::borrowed) {
        // Asio makes what it watches non-blocking: that is the epoll descriptor here, not what is shared.
        UniqueFd watcher(::epoll_create1(EPOLL_CLOEXEC));
        epoll_event event{};
        event.events = writing ? EPOLLOUT : EPOLLIN;
        if (!watcher.valid() || ::epoll_ctl(watcher.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
            kind_ = Kind::always;  // EPERM: nothing that one could wait for
        } else {
            watched_.emplace(loop, watcher.release());
        }
    }
}

StdStream::Kind StdStream::classify() {
    struct stat status {};
    if (::fstat(fd_, &status) != 0) return Kind::closed;
    if (S_ISREG(status.st_mode)) return Kind::always;
    if (S_ISSOCK(status.st_mode)) return Kind::socket;
    terminal_ = ::isatty(fd_) == 1;
    if (terminal_ || S_ISFIFO(status.st_mode)) {
        const auto path = fmt::format("/proc/self/fd/{}", fd_);
        again_ = UniqueFd(::open(path.c_str(), (writing_ ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
        if (again_.valid()) return Kind::own;
    }
    return Kind::borrowed;
}

bool StdStream::ready() const {
    pollfd entry{fd_, static_cast<short>(writing_ ? POLLOUT : POLLIN), 0};
    return ::poll(&entry, 1, 0) == 1;
}

long StdStream::read(std::span<std::byte> data) {
    long got = -EAGAIN;
    switch (kind_) {
        case Kind::closed:
            return 0;
        case Kind::own:
            got = ::read(again_.get(), data.data(), data.size());
            break;
        case Kind::socket:
            got = ::recv(fd_, data.data(), data.size(), MSG_DONTWAIT);
            break;
        case Kind::borrowed:
            if (!ready()) return -EAGAIN;
            [[fallthrough]];
        case Kind::always:
            got = ::read(fd_, data.data(), data.size());
            break;
    }
    return got < 0 ? -errno : got;
}

long StdStream::write(std::span<const std::byte> data) {
    // What a terminal or a pipe that says it is ready takes without blocking.
    constexpr std::size_t careful = 256;
    long put = 0;
    switch (kind_) {
        case Kind::closed:
            return -EBADF;
        case Kind::own:
            return write_quietly(again_.get(), data);
        case Kind::socket:
            put = ::send(fd_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case Kind::borrowed:
            if (!ready()) return -EAGAIN;
            return write_quietly(fd_, data.first(std::min(data.size(), careful)));
        case Kind::always:
            return write_quietly(fd_, data);
    }
    return put < 0 ? -errno : put;
}

awaitable<void> StdStream::wait() {
    if (!watched_) co_return;
    const bool for_room = writing_ && kind_ == Kind::own;
    co_await wait_for(*watched_, for_room ? Watched::wait_write : Watched::wait_read);
}

}  // namespace asyncvm
