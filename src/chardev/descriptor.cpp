#include <chardev/descriptor.hpp>

#include <unistd.h>
#include <cerrno>
#include <csignal>
#include <ctime>
#include <system_error>

namespace asyncvm {

awaitable<void> wait_for(Watched& descriptor, Watched::wait_type what) {
    std::error_code ignored;
    co_await descriptor.async_wait(what, asio::redirect_error(use_awaitable, ignored));
}

long write_quietly(int fd, std::span<const std::byte> data) noexcept {
    // SIGPIPE goes to the thread that writes: hold it back, and take away the one that this write has caused.
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

}  // namespace asyncvm
