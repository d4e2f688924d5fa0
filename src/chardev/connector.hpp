/// tcp:HOST:PORT,client and unix:PATH,client: connects, and connects again.
#pragma once

#include <chardev/socket.hpp>
#include <socket/dialer.hpp>

#include <string>

namespace asyncvm {

/// A server that closes its direction is taken to be gone: what had not arrived is for the next connection.
class Connector : public SocketBackend {
public:
    /// Throws Error(usage) if the path is too long.
    Connector(const ChardevSpec& spec, ChardevEnvironment environment, Succession from);

    /// Connects.
    [[nodiscard]] awaitable<void> prepare() override;
    [[nodiscard]] std::string description() const override { return dialer_.where(); }

private:
    static awaitable<void> serve(std::shared_ptr<Connector> self);
    static awaitable<std::string> open(std::shared_ptr<Connector> self, std::shared_ptr<Connection>& server);
    static awaitable<void> await_end(std::shared_ptr<Connector> self, std::shared_ptr<Connection> server);

    void run() override;
    [[nodiscard]] std::string waiting(std::uint64_t bytes) const override;
    void shut_sockets() noexcept override;

    Dialer dialer_;
    UniqueFd first_;  ///< prepare()'s
};

}  // namespace asyncvm
