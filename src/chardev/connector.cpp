#include <fmt/format.h>
#include <chardev/connector.hpp>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <system_error>
#include <utility>

namespace asyncvm {

namespace {

SocketAddress address_of(const asio::ip::tcp::endpoint& endpoint) {
    SocketAddress address;
    std::memcpy(&address.storage, endpoint.data(), endpoint.size());
    address.size = static_cast<socklen_t>(endpoint.size());
    return address;
}

}  // namespace

Connector::Connector(const ChardevSpec& spec, ChardevEnvironment environment) : SocketBackend(spec, std::move(environment)) {
    if (spec.kind == ChardevSpec::Kind::unix_socket) {
        local_ = unix_address(spec.path);
        where_ = "unix:" + spec.path;
    } else {
        where_ = tcp_text(spec);
    }
}

void Connector::run() { spawn(serve(std::static_pointer_cast<Connector>(shared_from_this()))); }

awaitable<std::string> Connector::resolve(std::shared_ptr<Connector> self, std::vector<SocketAddress>& addresses) {
    if (self->local_) {
        addresses.push_back(*self->local_);
        co_return std::string();
    }
    const auto& spec = self->spec();
    const auto host = spec.host.empty() ? std::string("127.0.0.1") : spec.host;
    std::error_code error;
    const auto numeric = asio::ip::make_address(host, error);
    if (!error) {
        addresses.push_back(address_of({numeric, static_cast<std::uint16_t>(spec.port)}));
        co_return std::string();
    }
    try {
        self->lookup_.emplace(host, static_cast<std::uint16_t>(spec.port));
    } catch (const std::system_error& failure) {
        co_return fmt::format("no thread to look the name up: {} (raise the limit that `ulimit -u` or `ulimit -v` shows)",
                              reason(failure.code().value()));
    }
    auto problem = co_await self->lookup_->wait(addresses);
    self->lookup_.reset();
    co_return problem;
}

awaitable<int> Connector::connect_to(std::shared_ptr<Connector> self, const SocketAddress& address, UniqueFd& fd) {
    fd = UniqueFd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) co_return errno;
    use_small_segments(fd.get(), address);
    if (::connect(fd.get(), address.get(), address.size) == 0) co_return 0;
    if (errno != EINPROGRESS) co_return errno;
    // Watched meanwhile by the chardev, so that close() can end the wait.
    if (!self->watch_connecting(fd)) co_return ENOMEM;
    co_await wait_for(*self->connecting_, Watched::wait_write);
    if (!self->connecting_) co_return ECANCELED;
    fd = UniqueFd(self->connecting_->release());
    self->connecting_.reset();
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    co_return error;
}

/// Takes the descriptor, unless the loop can't watch one more.
bool Connector::watch_connecting(UniqueFd& fd) {
    try {
        connecting_.emplace(loop(), fd.get());
    } catch (const std::system_error&) {
        return false;
    }
    (void)fd.release();
    return true;
}

awaitable<std::string> Connector::connect(std::shared_ptr<Connector> self, UniqueFd& fd) {
    std::vector<SocketAddress> addresses;
    auto problem = co_await resolve(self, addresses);
    for (const auto& address : addresses) {
        if (self->closed()) co_return "closed";
        const int error = co_await connect_to(self, address, fd);
        if (error == 0) co_return std::string();
        problem = reason(error);
    }
    co_return problem.empty() ? std::string("no address") : problem;
}

awaitable<void> Connector::await_end(std::shared_ptr<Connector> self, std::shared_ptr<Connection> server) {
    for (;;) {
        const auto seen = self->state().generation();
        if (server->over()) co_return;
        co_await self->state().wait(seen);
    }
}

/// Connects and starts the connection. Returns an empty text, or why there is none.
awaitable<std::string> Connector::open(std::shared_ptr<Connector> self, std::shared_ptr<Connection>& server) {
    UniqueFd fd;
    auto problem = co_await connect(self, fd);
    if (self->closed() || !problem.empty()) co_return problem;
    self->environment().log(fmt::format("{} is connected to {}", self->environment().label, self->where_));
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
        if (self->closed()) co_return;
        std::shared_ptr<Connection> server;
        const auto problem = co_await open(self, server);
        if (self->closed()) co_return;
        if (server) {
            co_await await_end(self, server);
            if (self->closed()) co_return;
            if (!self->draining())
                self->log(fmt::format("{} has closed the connection (tried again every {} s)", self->where_, seconds));
            told = Told::connected;
        } else if (told != Told::failing) {
            told = Told::failing;
            self->log(fmt::format("cannot connect to {}: {} (tried again every {} s)", self->where_, problem, seconds));
        }
        const auto until = Clock::now() + pause;
        for (;;) {
            const auto seen = self->state().generation();
            const auto now = Clock::now();
            if (self->closed() || now >= until) break;
            co_await self->state().wait(seen, until - now);
        }
    }
}

std::string Connector::waiting(std::uint64_t bytes) const {
    if (connection()) return fmt::format("{} for {} to take them (Ctrl-C gives up)", bytes_wait(bytes), where_);
    return fmt::format("{} for a connection to {} (Ctrl-C gives up)", bytes_wait(bytes), where_);
}

void Connector::shut_sockets() noexcept {
    if (lookup_) lookup_->cancel();
    connecting_.reset();
}

}  // namespace asyncvm
