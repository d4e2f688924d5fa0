#include <fmt/format.h>
#include <asyncvm/error.hpp>
#include <chardev/connector.hpp>

#include <asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <system_error>
#include <utility>

namespace asyncvm {

namespace {

Dialer dialer_for(const ChardevSpec& spec, asio::io_context& loop) {
    if (spec.kind == ChardevSpec::Kind::unix_socket) return {loop, spec.path};
    return {loop, HostPort{spec.host, spec.port}};
}

}  // namespace

Connector::Connector(const ChardevSpec& spec, ChardevEnvironment environment, Succession from)
    : SocketBackend(spec, std::move(environment), std::move(from)), dialer_(dialer_for(spec, loop())) {}

awaitable<void> Connector::prepare() {
    constexpr auto patience = std::chrono::seconds(10);
    const auto self = shared();
    asio::steady_timer limit(loop(), patience);
    bool late = false;
    limit.async_wait([&late, &dialer = dialer_](std::error_code cancelled) {
        if (cancelled) return;
        late = true;
        dialer.cancel();
    });
    const auto problem = co_await dialer_.dial(first_);
    if (problem.empty()) co_return;
    throw Error(ErrorKind::host,
                fmt::format("cannot connect to {}: {}", dialer_.where(), late ? "it does not answer" : problem));
}

void Connector::run() { spawn(serve(std::static_pointer_cast<Connector>(shared_from_this()))); }

awaitable<void> Connector::await_end(std::shared_ptr<Connector> self, std::shared_ptr<Connection> server) {
    for (;;) {
        const auto seen = self->state().generation();
        if (server->over()) co_return;
        co_await self->state().wait(seen);
    }
}

/// Connects and starts the connection. Returns an empty text, or why there is none.
awaitable<std::string> Connector::open(std::shared_ptr<Connector> self, std::shared_ptr<Connection>& server) {
    UniqueFd fd = std::move(self->first_);
    std::string problem;
    if (!fd.valid()) problem = co_await self->dialer_.dial(fd);
    if (self->ending() || !problem.empty()) co_return problem;
    self->environment().log(fmt::format("{} is connected to {}", self->environment().label, self->dialer_.where()));
    try {
        // A server that ends its direction is taken to be gone.
        server = self->begin(std::move(fd), true, true);
    } catch (const std::system_error& error) {
        problem = reason(error.code().value());
    }
    co_return problem;
}

awaitable<void> Connector::serve(std::shared_ptr<Connector> self) {
    enum class Told { nothing, connected, failing };
    auto told = Told::nothing;
    const auto pause = self->spec().reconnect;
    const auto seconds = std::chrono::duration<double>(pause).count();
    for (;;) {
        if (self->ending()) co_return;
        std::shared_ptr<Connection> server;
        const auto problem = co_await open(self, server);
        if (self->ending()) co_return;
        if (server) {
            co_await await_end(self, server);
            if (self->ending()) co_return;
            if (!self->draining())
                self->log(
                    fmt::format("{} has closed the connection (tried again every {} s)", self->dialer_.where(), seconds));
            told = Told::connected;
        } else if (told != Told::failing) {
            told = Told::failing;
            self->log(
                fmt::format("cannot connect to {}: {} (tried again every {} s)", self->dialer_.where(), problem, seconds));
        }
        const auto until = Clock::now() + pause;
        for (;;) {
            const auto seen = self->state().generation();
            const auto now = Clock::now();
            if (self->ending() || now >= until) break;
            co_await self->state().wait(seen, until - now);
        }
    }
}

std::string Connector::waiting(std::uint64_t bytes) const {
    if (connection()) return fmt::format("{} for {} to take them (Ctrl-C gives up)", bytes_wait(bytes), dialer_.where());
    return fmt::format("{} for a connection to {} (Ctrl-C gives up)", bytes_wait(bytes), dialer_.where());
}

void Connector::shut_sockets() noexcept { dialer_.cancel(); }

}  // namespace asyncvm
