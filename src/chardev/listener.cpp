#include <fmt/format.h>
#include <chardev/listener.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace asyncvm {

Listener::Listener(const ChardevSpec& spec, ChardevEnvironment environment) : SocketBackend(spec, std::move(environment)) {
    UniqueFd fd;
    if (spec.kind == ChardevSpec::Kind::tcp) {
        fd = listen_tcp({spec.host, spec.port}, address_);
        where_ = to_string(address_);
    } else {
        fd = listen_unix(spec.path, file_);
        where_ = "unix:" + spec.path;
    }
    listener_.emplace(loop(), fd.get());
    (void)fd.release();
}

void Listener::run() {
    environment().log(fmt::format("{} listens on {}", environment().label, where_));
    spawn(serve(std::static_pointer_cast<Listener>(shared_from_this())));
}

/// Whether the place is taken by a client that should keep it.
bool Listener::occupied() {
    if (const auto client = connection()) settle(client);
    const auto& client = connection();
    return client && !client->fsm().may_be_put_out();
}

/// Returns 0, or why there is no client.
int Listener::accept(std::shared_ptr<Connection>& client) {
    UniqueFd fd(::accept4(listener_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd.valid()) return errno;
    if (const auto gone = connection()) put_out(gone);
    try {
        client = begin(std::move(fd), false, false);
    } catch (const std::system_error&) {
        return ENOMEM;  // the loop can't watch one descriptor more
    }
    return 0;
}

awaitable<void> Listener::serve(std::shared_ptr<Listener> self) {
    constexpr auto retry = std::chrono::milliseconds(500);
    constexpr auto look = std::chrono::milliseconds(100);
    bool failing = false;
    for (;;) {
        const auto seen = self->state().generation();
        if (self->closed()) co_return;
        if (self->occupied()) {
            // There is no event if a client ends its output behind input that nobody reads.
            const bool blocked = self->connection()->fsm().input() == ConnectionFsm::Input::wait_room;
            co_await self->state().wait(seen, blocked ? Clock::duration(look) : Event::no_limit);
            continue;
        }
        co_await wait_for(*self->listener_, Watched::wait_read);
        if (self->closed()) co_return;
        // It may have given a sign of life in the meantime.
        if (self->occupied()) continue;
        std::shared_ptr<Connection> client;
        const int error = self->accept(client);
        if (client) {
            failing = false;
            co_await await_stay(self, client);
            self->admit(client);
        } else if (error != EAGAIN && error != EINTR && error != ECONNABORTED) {
            // Most often there is no descriptor left. The client stays in the kernel's list, so this waits.
            if (!std::exchange(failing, true)) {
                self->log(fmt::format("cannot accept a client on {}: {} (it is tried again)", self->where_, reason(error)));
            }
            const auto stamp = self->state().generation();
            co_await self->state().wait(stamp, retry);
        }
    }
}

/// A probe that connects only to see whether the port is open leaves at once: nothing is sent to a new client before it has
/// shown that it stays, by sending something, by closing its own direction, or by a little patience. Where there is nothing
/// yet that it could take, less of it: a client that came before the guest's first byte should not be kept from it.
awaitable<void> Listener::await_stay(std::shared_ptr<Listener> self, std::shared_ptr<Connection> client) {
    const bool tempting = self->queue().undelivered(Queue::Reader::client) > 0;
    const Clock::duration patience = self->environment().patience;
    const auto until = Clock::now() + (tempting ? patience : patience / 5);
    for (;;) {
        const auto seen = self->state().generation();
        const auto now = Clock::now();
        if (client->over() || client->fsm().heard() || client->fsm().has_input_ended() || now >= until) co_return;
        co_await self->state().wait(seen, until - now);
    }
}

std::string Listener::command() const {
    if (spec().kind == ChardevSpec::Kind::unix_socket) return fmt::format("nc -U {}", spec().path);
    // tcp:HOST:PORT as its words, HOST without brackets.
    const auto port = where_.rfind(':');
    auto host = where_.substr(4, port - 4);
    std::erase_if(host, [](char c) { return c == '[' || c == ']'; });
    if (host == "127.0.0.1" || host == "0.0.0.0" || host == "::" || host == "::1") host = "localhost";
    return fmt::format("{} {} {}", spec().telnet ? "telnet" : "nc", host, where_.substr(port + 1));
}

std::string Listener::waiting(std::uint64_t bytes) const {
    if (connection())
        return fmt::format("{} for the client on {} to take them (Ctrl-C gives up)", bytes_wait(bytes), where_);
    return fmt::format("{} for a client on {} ({} shows them, Ctrl-C gives up)", bytes_wait(bytes), where_, command());
}

void Listener::shut_sockets() noexcept {
    listener_.reset();
    file_.reset();
}

}  // namespace asyncvm
