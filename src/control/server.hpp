/// The control socket: programs that watch and steer a machine.
#pragma once

#include "control/json.hpp"
#include "control/place.hpp"
#include "control/schema.hpp"
#include "os/put_back.hpp"
#include "os/unique_fd.hpp"
#include "socket/watched.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/log.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace asyncvm::control {

/// Serves some clients at a time, each in the order of its commands. Everything on the device loop's thread.
class Server : public std::enable_shared_from_this<Server> {
public:
    using Execute = std::function<awaitable<Json>(const Command& command, const Json& arguments)>;
    static constexpr std::size_t most_clients = 16;

    /// Listens. Throws Error(host).
    Server(asio::io_context& loop, const Place& place, Log log, Execute execute);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() { close(); }

    /// Once, after the constructor. `held`: the guest does not begin before a client says `cont`.
    void start(bool held);

    /// Sends an event to every client that has negotiated.
    void tell(std::string_view name, const Json& data);

    /// Completes when every client has got what was told until now, or does not take it within `limit`.
    [[nodiscard]] awaitable<void> delivered(std::chrono::milliseconds limit);

    /// Ends all connections, removes the socket file.
    void close() noexcept;

private:
    class Client;
    void admit(UniqueFd fd);
    void leave(const std::shared_ptr<Client>& client) noexcept;
    static awaitable<void> accept_all(std::shared_ptr<Server> self);
    static awaitable<void> listen_to(std::shared_ptr<Server> self, std::shared_ptr<Client> client);
    static awaitable<void> send_to(std::shared_ptr<Server> self, std::shared_ptr<Client> client);
    [[nodiscard]] static awaitable<void> answer_all(std::shared_ptr<Server> self, std::shared_ptr<Client> client);
    void spawn(awaitable<void> work);

    asio::io_context& loop_;
    Log log_;
    Execute execute_;
    std::string where_;
    std::optional<PutBack> file_;
    std::optional<Watched> listener_;
    UniqueFd connection_;  ///< the only one, that this process has got
    std::vector<std::shared_ptr<Client>> clients_;
    Event changed_;  ///< a client has left, or has got everything
    bool closed_ = false;
};

}  // namespace asyncvm::control
