#include <fmt/format.h>
#include <chardev/listener.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

namespace asyncvm {

Listener::Listener(const ChardevSpec& spec, ChardevEnvironment environment) : SocketBackend(spec, std::move(environment)) {
    UniqueFd fd;
    if (spec.kind == ChardevSpec::Kind::tcp) {
        fd = listen_tcp(spec, address_);
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
    const auto& client = connection();
    if (!client) return false;
    client->sample(queue());
    return !client->maybe_gone();
}

/// Returns 0, or why there is no client.
int Listener::accept(UniqueFd& client) {
    client = UniqueFd(::accept4(listener_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    return client.valid() ? 0 : errno;
}

awaitable<void> Listener::serve(std::shared_ptr<Listener> self) {
    constexpr auto retry = std::chrono::milliseconds(500);
    bool failing = false;
    for (;;) {
        const auto seen = self->state().generation();
        if (self->closed()) co_return;
        if (self->occupied()) {
            co_await self->state().wait(seen);
            continue;
        }
        co_await wait_for(*self->listener_, Watched::wait_read);
        if (self->closed()) co_return;
        // It may have given a sign of life in the meantime.
        if (self->occupied()) continue;
        UniqueFd fd;
        const int error = self->accept(fd);
        if (error == 0) {
            failing = false;
            if (const auto gone = self->connection()) self->end(gone);
            const auto client = self->begin(std::move(fd));
            co_await settle(self, client);
            self->admit(client);
        } else if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM) {
            if (!std::exchange(failing, true)) {
                self->log(fmt::format("cannot accept a client on {}: {} (it is tried again)", self->where_, reason(error)));
            }
            const auto stamp = self->state().generation();
            co_await self->state().wait(stamp, retry);
        }
        // Anything else was that one client's trouble (a reset before it was accepted), or nobody is there after all.
    }
}

/// A probe that connects only to see whether the port is open leaves at once: nothing is sent to a new client before it has
/// shown that it stays, by sending something, by closing its own direction, or by a little patience. Where there is nothing
/// yet that it could take, less of it: a client that came before the guest's first byte should not be kept from it.
awaitable<void> Listener::settle(std::shared_ptr<Listener> self, std::shared_ptr<Connection> client) {
    const bool tempting = self->queue().undelivered(Queue::Reader::client) > 0;
    const Clock::duration patience = self->environment().patience;
    const auto until = Clock::now() + (tempting ? patience : patience / 5);
    for (;;) {
        const auto seen = self->state().generation();
        const auto now = Clock::now();
        if (client->over() || client->heard() || client->eof() || now >= until) co_return;
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
    if (spec().kind == ChardevSpec::Kind::unix_socket) remove_socket_file(spec().path, file_);
}

}  // namespace asyncvm
