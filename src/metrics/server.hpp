/// The socket that a Prometheus server scrapes.
#pragma once

#include "metrics/http_request.hpp"
#include "os/put_back.hpp"
#include "os/unique_fd.hpp"
#include "socket/watched.hpp"

#include <asyncvm/asio.hpp>
#include <asyncvm/event.hpp>
#include <asyncvm/log.hpp>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace asyncvm::metrics {

/// Throws Error(usage) for what is neither "tcp:[HOST:]PORT" nor "unix:PATH".
void check_place(const std::string& text);

/// Answers each request from what `page` gives at that time. Everything on the device loop's thread.
class Server : public std::enable_shared_from_this<Server> {
public:
    using Page = std::function<std::string(Format format)>;
    static constexpr std::size_t most_clients = 16;

    /// Listens at `place` (see check_place()). Throws Error.
    Server(asio::io_context& loop, const std::string& place, Log log, Page page);
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() { close(); }

    /// Once, after the constructor.
    void start();
    void close() noexcept;

private:
    static awaitable<void> accept_all(std::shared_ptr<Server> self);
    static awaitable<void> serve(std::shared_ptr<Server> self, std::shared_ptr<Watched> client);
    [[nodiscard]] std::string respond(const RequestHead& head) const;
    void leave(const std::shared_ptr<Watched>& client) noexcept;

    asio::io_context& loop_;
    Log log_;
    Page page_;
    std::string where_;
    std::optional<PutBack> file_;
    std::optional<Watched> listener_;
    std::vector<std::shared_ptr<Watched>> clients_;
    Event changed_;  ///< a client has left
    bool closed_ = false;
};

}  // namespace asyncvm::metrics
