#include "socket/dialer.hpp"

#include "text/errno_text.hpp"

#include <fmt/format.h>

#include <asio/ip/tcp.hpp>
#include <cerrno>
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

awaitable<void> wait_for(Watched& descriptor, Watched::wait_type what) {
    std::error_code ignored;
    co_await descriptor.async_wait(what, asio::redirect_error(use_awaitable, ignored));
}

Dialer::Dialer(asio::io_context& loop, HostPort server)
    : loop_(loop), server_(std::move(server)), where_(tcp_text(server_)) {}

Dialer::Dialer(asio::io_context& loop, const std::string& path)
    : loop_(loop), local_(unix_address(path)), where_("unix:" + path) {}

awaitable<std::string> Dialer::resolve(std::vector<SocketAddress>& addresses) {
    if (local_) {
        addresses.push_back(*local_);
        co_return std::string();
    }
    const auto host = server_.host.empty() ? std::string("127.0.0.1") : server_.host;
    std::error_code error;
    const auto numeric = asio::ip::make_address(host, error);
    if (!error) {
        addresses.push_back(address_of({numeric, server_.port}));
        co_return std::string();
    }
    try {
        lookup_.emplace(host, server_.port);
    } catch (const std::system_error& failure) {
        co_return fmt::format("no thread to look the name up: {} (raise the limit that `ulimit -u` or `ulimit -v` shows)",
                              reason(failure.code().value()));
    }
    auto problem = co_await lookup_->wait(addresses);
    lookup_.reset();
    co_return problem;
}

awaitable<int> Dialer::connect_to(const SocketAddress& address, UniqueFd& fd) {
    fd = UniqueFd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) co_return errno;
    use_small_segments(fd.get(), address);
    if (::connect(fd.get(), address.get(), address.size) == 0) co_return 0;
    if (errno != EINPROGRESS) co_return errno;
    // The object watches it meanwhile, so that cancel() can end the wait.
    if (!watch(fd)) co_return ENOMEM;
    co_await wait_for(*connecting_, Watched::wait_write);
    if (!connecting_) co_return ECANCELED;
    fd = UniqueFd(connecting_->release());
    connecting_.reset();
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    co_return error;
}

/// Takes the descriptor, unless the loop can't watch one more.
bool Dialer::watch(UniqueFd& fd) {
    try {
        connecting_.emplace(loop_, fd.get());
    } catch (const std::system_error&) {
        return false;
    }
    (void)fd.release();
    return true;
}

awaitable<std::string> Dialer::dial(UniqueFd& fd) {
    std::vector<SocketAddress> addresses;
    auto problem = co_await resolve(addresses);
    for (const auto& address : addresses) {
        if (cancelled_) co_return reason(ECANCELED);
        const int error = co_await connect_to(address, fd);
        if (error == 0) co_return std::string();
        problem = reason(error);
    }
    co_return problem.empty() ? std::string("no address") : problem;
}

void Dialer::cancel() noexcept {
    cancelled_ = true;
    if (lookup_) lookup_->cancel();
    connecting_.reset();
}

}  // namespace asyncvm
