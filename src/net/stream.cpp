#include "net/stream.hpp"

#include "text/errno_text.hpp"

#include <asyncvm/sleep.hpp>

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

namespace asyncvm {

StreamBackend::StreamBackend(const NetSpec& spec, NetEnvironment environment)
    : environment_(std::move(environment)), reconnect_(spec.reconnect) {
    const bool tcp = spec.kind == NetSpec::Kind::stream_tcp;
    if (spec.server) {
        SocketAddress address;
        UniqueFd fd = tcp ? listen_tcp({spec.host, spec.port}, address) : listen_unix(spec.path, file_);
        description_ = "stream:" + (tcp ? to_string(address) : "unix:" + spec.path);
        listener_.emplace(environment_.loop, fd.get());
        (void)fd.release();
    } else {
        if (tcp) {
            dialer_.emplace(environment_.loop, HostPort{spec.host, spec.port});
        } else {
            dialer_.emplace(environment_.loop, spec.path);
        }
        description_ = "stream:" + dialer_->where();
    }
}

StreamBackend::StreamBackend(UniqueFd connected, std::string description, NetEnvironment environment,
                             std::shared_ptr<void> companion)
    : environment_(std::move(environment)),
      description_(std::move(description)),
      given_(std::move(connected)),
      companion_(std::move(companion)) {}

void StreamBackend::start() {
    if (listener_) log(fmt::format("listens on {}", description_));
    if (given_.valid() && !attach(std::move(given_))) log(fmt::format("{} can't be watched", description_));
    spawn(serve(shared_from_this()));
    spawn(write_rest(shared_from_this()));
}

void StreamBackend::spawn(awaitable<void> work) {
    asio::co_spawn(environment_.loop, std::move(work), [self = shared_from_this()](const std::exception_ptr& failure) {
        if (!failure || self->closed_) return;
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            self->log(fmt::format("{} stopped working: {}", self->description_, error.what()));
        }
    });
}

void StreamBackend::log(std::string_view text) const { environment_.log(fmt::format("{}: {}", environment_.label, text)); }

void StreamBackend::keep_frames(bool on) {
    keeps_ = on;
    if (!on) drop_frames();
}

void StreamBackend::drop_frames() {
    while (!in_.front().empty()) in_.pop();
    if (std::exchange(waits_for_room_, false)) state_.notify();
}

void StreamBackend::pop() {
    in_.pop();
    ++traffic_.received;
    if (std::exchange(waits_for_room_, false)) state_.notify();
}

bool StreamBackend::send(std::span<const std::span<const std::byte>> pieces) {
    std::size_t length = 0;
    for (const auto& piece : pieces) length += piece.size();
    const bool sane = length >= least_frame && length <= most_frame;
    if (!socket_ || !sane || !out_.append(pieces, length)) {
        ++traffic_.dropped;
        return false;
    }
    ++traffic_.sent;
    return true;
}

void StreamBackend::flush() {
    while (socket_ && !out_.empty()) {
        const auto bytes = out_.bytes();
        const auto put = ::send(socket_->native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) {
            // The reader finds out why, if it was more than a full socket.
            const bool full = errno == EAGAIN;
            if (!full) out_.clear();
            if (full && !std::exchange(rest_, true)) state_.notify();
            return;
        }
        out_.written(static_cast<std::size_t>(put));
    }
    rest_ = false;
}

awaitable<void> StreamBackend::write_rest(std::shared_ptr<StreamBackend> self) {
    for (;;) {
        const auto seen = self->state_.generation();
        if (self->closed_) co_return;
        if (!self->socket_ || !self->rest_) {
            co_await self->state_.wait(seen);
            continue;
        }
        co_await wait_for(*self->socket_, Watched::wait_write);
        const bool had_room = self->has_room();
        self->flush();
        if (!had_room && self->has_room()) self->changed().notify();
    }
}

bool StreamBackend::attach(UniqueFd fd) {
    const int on = 1;
    // Unix sockets refuse it.
    (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    try {
        socket_.emplace(environment_.loop, fd.get());
    } catch (const std::system_error&) {
        return false;
    }
    (void)fd.release();
    link_changed().notify();
    return true;
}

/// Whole frames that have come stay, the rest is the connection's and goes with it.
void StreamBackend::detach() {
    socket_.reset();
    in_.end();
    out_.clear();
    rest_ = false;
    state_.notify();
    changed().notify();
    link_changed().notify();
}

awaitable<std::string> StreamBackend::find_peer(std::shared_ptr<StreamBackend> self, UniqueFd& fd) {
    if (self->dialer_) {
        auto problem = co_await self->dialer_->dial(fd);
        co_return problem;
    }
    for (;;) {
        co_await wait_for(*self->listener_, Watched::wait_read);
        if (self->closed_) co_return "closed";
        fd = UniqueFd(::accept4(self->listener_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd.valid()) co_return std::string();
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) co_return reason(errno);
    }
}

awaitable<std::string> StreamBackend::read(std::shared_ptr<StreamBackend> self) {
    for (;;) {
        const auto seen = self->state_.generation();
        if (self->closed_ || !self->socket_) co_return "closed";
        const auto room = self->in_.room();
        if (room.empty()) {
            self->waits_for_room_ = true;
            co_await self->state_.wait(seen);
            continue;
        }
        const auto got = ::recv(self->socket_->native_handle(), room.data(), room.size(), MSG_DONTWAIT);
        if (got > 0) {
            const bool had_frame = !self->in_.front().empty();
            const bool understood = self->in_.filled(static_cast<std::size_t>(got));
            if (!self->keeps_) self->drop_frames();
            if (!had_frame && !self->in_.front().empty()) self->changed().notify();
            if (!understood) {
                co_return fmt::format("a frame of {} bytes can't be ({} to {} can)", self->in_.wrong_length(), least_frame,
                                      most_frame);
            }
        } else if (got == 0) {
            co_return "it has closed the connection";
        } else if (errno == EAGAIN) {
            co_await wait_for(*self->socket_, Watched::wait_read);
        } else if (errno != EINTR) {
            co_return reason(errno);
        }
    }
}

awaitable<void> StreamBackend::pause(std::shared_ptr<StreamBackend> self) {
    const auto until = std::chrono::steady_clock::now() + self->reconnect_;
    for (;;) {
        const auto seen = self->state_.generation();
        const auto now = std::chrono::steady_clock::now();
        if (self->closed_ || now >= until) co_return;
        co_await self->state_.wait(seen, until - now);
    }
}

awaitable<void> StreamBackend::serve(std::shared_ptr<StreamBackend> self) {
    auto told = Told::nothing;
    const bool again = self->dialer_ || self->listener_;
    const auto seconds = std::chrono::duration<double>(self->reconnect_).count();
    while (!self->closed_) {
        if (!self->socket_) {
            UniqueFd fd;
            auto problem = co_await find_peer(self, fd);
            if (self->closed_) co_return;
            if (problem.empty() && !self->attach(std::move(fd))) problem = reason(ENOMEM);
            if (!problem.empty()) {
                if (std::exchange(told, Told::failing) != Told::failing) {
                    self->log(
                        fmt::format("no peer on {}: {} (tried again every {} s)", self->description_, problem, seconds));
                }
                co_await pause(self);
                continue;
            }
            told = Told::connected;
            self->log(fmt::format("a peer is connected on {}", self->description_));
        }
        const auto end = co_await read(self);
        if (self->closed_) co_return;
        self->detach();
        self->log(fmt::format("the peer on {} is gone: {}", self->description_, end));
        if (!again) co_return;
        if (self->dialer_) co_await pause(self);
    }
}

void StreamBackend::close() noexcept {
    if (std::exchange(closed_, true)) return;
    if (dialer_) dialer_->cancel();
    listener_.reset();
    file_.reset();
    socket_.reset();
    companion_.reset();
    state_.notify();
    changed().notify();
    link_changed().notify();
}

}  // namespace asyncvm
