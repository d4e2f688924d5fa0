#include <fmt/format.h>
#include <asyncvm/sleep.hpp>
#include <chardev/descriptor.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <ctime>
#include <system_error>

namespace asyncvm {

long write_quietly(int fd, std::span<const std::byte> data) noexcept {
    // The thread that writes gets the SIGPIPE: it is held back, and the one that this write has caused is taken away.
    sigset_t pipe_signal;
    sigset_t before;
    sigset_t pending;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
    sigpending(&pending);
    const bool was_pending = sigismember(&pending, SIGPIPE) == 1;
    long result = ::write(fd, data.data(), data.size());
    if (result < 0) result = -errno;
    if (result == -EPIPE && !was_pending) {
        const timespec at_once{};
        sigtimedwait(&pipe_signal, nullptr, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return result;
}

SharedDescriptor::SharedDescriptor(int fd, bool writing) : fd_(fd), writing_(writing), kind_(classify()) {}

SharedDescriptor::Kind SharedDescriptor::classify() {
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

bool SharedDescriptor::ready() const noexcept {
    pollfd entry{fd_, static_cast<short>(writing_ ? POLLOUT : POLLIN), 0};
    return ::poll(&entry, 1, 0) == 1;
}

long SharedDescriptor::read(std::span<std::byte> data) noexcept {
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

long SharedDescriptor::write(std::span<const std::byte> data) noexcept {
    // A terminal or a pipe that is ready takes so many bytes without blocking.
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

StdStream::StdStream(asio::io_context& loop, int fd, bool writing) : descriptor_(fd, writing) {
    // Asio makes the descriptor that it watches non-blocking: here that is the epoll descriptor, not the shared one.
    UniqueFd watcher(::epoll_create1(EPOLL_CLOEXEC));
    epoll_event event{};
    event.events = writing ? EPOLLOUT : EPOLLIN;
    if (!watcher.valid() || ::epoll_ctl(watcher.get(), EPOLL_CTL_ADD, descriptor_.native_handle(), &event) != 0) return;
    watched_.emplace(loop, watcher.get());
    (void)watcher.release();
}

awaitable<void> StdStream::wait() {
    if (!watched_) {
        // There is no event to wait for: a pause, so that the caller does not spin.
        constexpr auto pause = std::chrono::milliseconds(10);
        co_await sleep_for(pause);
        co_return;
    }
    co_await wait_for(*watched_, Watched::wait_read);
}

}  // namespace asyncvm
