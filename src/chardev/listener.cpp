#include <fmt/format.h>
#include <chardev/listener.hpp>

#include <asyncvm/error.hpp>

#include <netinet/in.h>
#include <sys/stat.h>
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

namespace asyncvm {

namespace {

std::uint16_t port_of(const SocketAddress& address) {
    return ntohs(address.family() == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_port
                                              : reinterpret_cast<const sockaddr_in&>(address.storage).sin_port);
}

bool equal(const SocketAddress& a, const SocketAddress& b) {
    return a.size == b.size && std::memcmp(&a.storage, &b.storage, a.size) == 0;
}

}  // namespace

Listener::Listener(const ChardevSpec& spec, ChardevEnvironment environment, Succession from)
    : SocketBackend(spec, std::move(environment), std::move(from)) {
    const auto listener = std::dynamic_pointer_cast<Listener>(before());
    if (listener && listener->is_at(spec)) heir_of_ = listener;
    if (spec.kind == ChardevSpec::Kind::unix_socket) {
        where_ = "unix:" + spec.path;
        if (!heir_of_) watch(listen_unix(spec.path, *file_));
        struct stat status {};
        if (::stat(spec.path.c_str(), &status) == 0) socket_file_ = {status.st_dev, status.st_ino};
    } else if (heir_of_) {
        address_ = heir_of_->address_;
        where_ = to_string(address_);
    } else {
        watch(listen(listener.get()));
        where_ = to_string(address_);
    }
}

bool Listener::is_at(const ChardevSpec& spec) const {
    if (spec.kind != this->spec().kind || !listener_) return false;
    if (spec.kind == ChardevSpec::Kind::unix_socket) {
        struct stat status {};
        return ::stat(spec.path.c_str(), &status) == 0 && std::pair(status.st_dev, status.st_ino) == socket_file_;
    }
    if (spec.port != port_of(address_)) return false;
    return std::ranges::any_of(resolve_listen({spec.host, spec.port}),
                               [this](const auto& candidate) { return equal(candidate, address_); });
}

/// On the port of `before`, but at another address, only one of the two can listen.
UniqueFd Listener::listen(Listener* before) {
    const HostPort where{spec().host, spec().port};
    const bool same_port = before != nullptr && before->listener_ && before->spec().kind == spec().kind &&
                           where.port == port_of(before->address_);
    if (same_port) before->listener_.reset();
    try {
        return listen_tcp(where, address_);
    } catch (const Error&) {
        if (same_port) before->watch(listen_tcp({before->spec().host, where.port}, before->address_));
        throw;
    }
}

void Listener::watch(UniqueFd fd) {
    listener_.emplace(loop(), fd.get());
    (void)fd.release();
}

void Listener::inherit() {
    SocketBackend::inherit();
    const auto before = std::exchange(heir_of_, nullptr);
    if (!before) return;
    watch(UniqueFd(before->listener_->release()));
    before->listener_.reset();
    file_ = before->file_;
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
        if (self->ending()) co_return;
        if (self->occupied()) {
            // There is no event if a client ends its output behind input that nobody reads.
            const bool blocked = self->connection()->fsm().input() == ConnectionFsm::Input::wait_room;
            co_await self->state().wait(seen, blocked ? Clock::duration(look) : Event::no_limit);
            continue;
        }
        co_await wait_for(*self->listener_, Watched::wait_read);
        if (self->ending()) co_return;
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
