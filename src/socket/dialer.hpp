/// Connecting to a server, while the device loop goes on.
#pragma once

#include <asyncvm/asio.hpp>
#include <os/unique_fd.hpp>
#include <socket/address.hpp>
#include <socket/lookup.hpp>
#include <socket/watched.hpp>

#include <optional>
#include <string>
#include <vector>

namespace asyncvm {

/// Looks the server's name up and tries its addresses one after the other. Device loop.
class Dialer {
public:
    Dialer(asio::io_context& loop, HostPort server);
    /// A Unix socket. Throws Error(usage) if the path is too long.
    Dialer(asio::io_context& loop, const std::string& path);

    /// "tcp:127.0.0.1:4444", "unix:/tmp/a".
    [[nodiscard]] const std::string& where() const noexcept { return where_; }

    /// Connects `fd`, which does not block. Returns an empty text, or why there is no connection. One call at a time; the
    /// object lives until it has completed.
    [[nodiscard]] awaitable<std::string> dial(UniqueFd& fd);

    /// A dial() that waits completes with a reason, and so do later ones.
    void cancel() noexcept;

private:
    [[nodiscard]] awaitable<std::string> resolve(std::vector<SocketAddress>& addresses);
    [[nodiscard]] awaitable<int> connect_to(const SocketAddress& address, UniqueFd& fd);
    [[nodiscard]] bool watch(UniqueFd& fd);

    asio::io_context& loop_;
    HostPort server_;
    std::optional<SocketAddress> local_;  ///< of a Unix socket
    std::string where_;
    std::optional<Lookup> lookup_;
    std::optional<Watched> connecting_;
    bool cancelled_ = false;
};

}  // namespace asyncvm
