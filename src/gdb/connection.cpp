#include "gdb/connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <utility>

namespace asyncvm::gdb {

Connection::Connection(asio::io_context& loop, UniqueFd socket) : socket_(true) {
    const int on = 1;
    // Unix sockets refuse it.
    (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    in_.emplace(loop, socket.get());
    (void)socket.release();
}

Connection::Connection(asio::io_context& loop, UniqueFd in, UniqueFd out) {
    in_.emplace(loop, in.get());
    (void)in.release();
    out_.emplace(loop, out.get());
    (void)out.release();
}

awaitable<std::size_t> Connection::read(std::span<std::byte> to) {
    for (;;) {
        if (!in_) co_return 0;
        co_await wait_for(*in_, Watched::wait_read);
        if (!in_) co_return 0;
        const auto count = ::read(in_->native_handle(), to.data(), to.size());
        if (count >= 0) co_return static_cast<std::size_t>(count);
        if (errno != EAGAIN && errno != EINTR) co_return 0;
    }
}

long Connection::put(std::string_view bytes) noexcept {
    if (socket_) return ::send(in_->native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return ::write(out_->native_handle(), bytes.data(), bytes.size());
}

awaitable<bool> Connection::write(std::string_view bytes) {
    rest_ = bytes;
    while (!rest_.empty()) {
        if (!in_) co_return false;
        const auto count = put(rest_);
        if (count >= 0) {
            rest_.remove_prefix(static_cast<std::size_t>(count));
            continue;
        }
        const int error = errno;
        if (error == EINTR) continue;
        if (error != EAGAIN) co_return false;
        Watched& out = out_ ? *out_ : *in_;
        co_await wait_for(out, Watched::wait_write);
    }
    co_return true;
}

void Connection::write_now(std::string_view bytes) noexcept {
    if (!in_) return;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    for (std::string_view part : {std::exchange(rest_, {}), bytes}) {
        while (!part.empty()) {
            const auto count = put(part);
            if (count >= 0) {
                part.remove_prefix(static_cast<std::size_t>(count));
                continue;
            }
            if (errno == EINTR) continue;
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            if (errno != EAGAIN || left.count() <= 0) return;
            pollfd look{.fd = out_ ? out_->native_handle() : in_->native_handle(), .events = POLLOUT, .revents = 0};
            static_cast<void>(::poll(&look, 1, static_cast<int>(left.count())));
        }
    }
}

bool Connection::left() const noexcept {
    if (!in_) return true;
    pollfd look{.fd = in_->native_handle(), .events = POLLRDHUP, .revents = 0};
    return ::poll(&look, 1, 0) == 1 && (look.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void Connection::look_for_bytes(std::chrono::nanoseconds limit) const noexcept {
    if (!in_) return;
    pollfd look{.fd = in_->native_handle(), .events = POLLIN, .revents = 0};
    const auto until = std::chrono::steady_clock::now() + limit;
    // Where the debugger runs on this processor it gets its turn.
    while (::poll(&look, 1, 0) == 0 && std::chrono::steady_clock::now() < until) ::sched_yield();
}

void Connection::close() noexcept {
    in_.reset();
    out_.reset();
}

}  // namespace asyncvm::gdb
