/// tcp:HOST:PORT,client and unix:PATH,client: connects, and connects again.
#pragma once

#include <chardev/address.hpp>
#include <chardev/lookup.hpp>
#include <chardev/socket.hpp>

#include <asio/ip/tcp.hpp>
#include <optional>
#include <string>
#include <vector>

namespace asyncvm {

/// A server that closes its direction is taken to be gone: what had not arrived is for the next connection.
class Connector : public SocketBackend {
public:
    /// Throws Error(usage) if the path is too long.
    Connector(const ChardevSpec& spec, ChardevEnvironment environment);

    [[nodiscard]] std::string description() const override { return where_; }

private:
    static awaitable<void> serve(std::shared_ptr<Connector> self);
    static awaitable<std::string> open(std::shared_ptr<Connector> self, std::shared_ptr<Connection>& server);
    /// Connects to the first address that answers. Returns an empty text, or why there is none.
    static awaitable<std::string> connect(std::shared_ptr<Connector> self, UniqueFd& fd);
    static awaitable<std::string> resolve(std::shared_ptr<Connector> self, std::vector<SocketAddress>& addresses);
    static awaitable<int> connect_to(std::shared_ptr<Connector> self, const SocketAddress& address, UniqueFd& fd);
    [[nodiscard]] bool watch_connecting(UniqueFd& fd);
    static awaitable<void> await_end(std::shared_ptr<Connector> self, std::shared_ptr<Connection> server);

    void run() override;
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    void shut_sockets() noexcept override;

    std::string where_;
    std::optional<SocketAddress> local_;
    std::optional<Lookup> lookup_;
    std::optional<Watched> connecting_;
};

}  // namespace asyncvm
