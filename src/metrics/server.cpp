#include "metrics/server.hpp"

#include "socket/accept.hpp"
#include "socket/address.hpp"
#include "text/complaint.hpp"
#include "text/parse.hpp"

#include <asyncvm/error.hpp>

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <string_view>
#include <system_error>
#include <utility>

namespace asyncvm::metrics {

namespace {

constexpr std::string_view tcp = "tcp:";
constexpr std::string_view unix_socket = "unix:";
/// How long a client may take for its request, and for the answer.
constexpr std::chrono::seconds patience{10};

struct Place {
    std::string path;  ///< of a Unix socket; empty: `where`
    HostPort where;
};

Place parse_place(const std::string& text) {
    const Complaint complain("--metrics");
    const auto words = split_at_commas(text);
    const std::string_view head = words.front();
    Place place;
    if (head.starts_with(unix_socket) && head.size() > unix_socket.size()) {
        place.path = head.substr(unix_socket.size());
        static_cast<void>(unix_address(place.path));
    } else if (head.starts_with(tcp)) {
        if (const auto wrong = parse_host_port(head.substr(tcp.size()), place.where); !wrong.empty()) complain("{}", wrong);
    } else {
        complain("'{}' is neither tcp:[HOST:]PORT nor unix:PATH (example: --metrics tcp:9100)", text);
    }
    for (std::size_t i = 1; i < words.size(); ++i) {
        if (!says_that_it_listens(words[i]))
            complain("'{}': there is no option '{}' (a comma in the path is doubled)", text, words[i]);
    }
    return place;
}

}  // namespace

void check_place(const std::string& text) { static_cast<void>(parse_place(text)); }

Server::Server(asio::io_context& loop, const std::string& place, Log log, Page page)
    : loop_(loop), log_(std::move(log)), page_(std::move(page)) {
    const auto parsed = parse_place(place);
    UniqueFd fd;
    if (parsed.path.empty()) {
        SocketAddress address;
        fd = listen_tcp(parsed.where, address);
        where_ = fmt::format("http://{}/metrics", to_string(address).substr(tcp.size()));
    } else {
        fd = listen_unix(parsed.path, file_, 0600);
        where_ = fmt::format("{}{}", unix_socket, parsed.path);
    }
    listener_.emplace(loop, fd.get());
    (void)fd.release();
}

void Server::start() {
    log_(fmt::format("metrics are at {}", where_));
    asio::co_spawn(loop_, accept_all(shared_from_this()), [self = shared_from_this()](const std::exception_ptr& failure) {
        if (failure && !self->closed_) self->log_(fmt::format("metrics are no longer at {}", self->where_));
    });
}

void Server::leave(const std::shared_ptr<Watched>& client) noexcept {
    std::error_code ignored;
    client->close(ignored);
    std::erase(clients_, client);
    changed_.notify();
}

awaitable<void> Server::accept_all(std::shared_ptr<Server> self) {
    for (;;) {
        const auto seen = self->changed_.generation();
        if (self->closed_) co_return;
        if (self->clients_.size() >= most_clients) {
            co_await self->changed_.wait(seen);
            continue;
        }
        UniqueFd fd = co_await accept_client(*self->listener_);
        if (self->closed_ || !fd.valid()) co_return;
        std::shared_ptr<Watched> client;
        try {
            client = std::make_shared<Watched>(self->loop_, fd.get());
        } catch (const std::system_error& error) {
            self->log_(fmt::format("a client of the metrics was turned away: {}", error.what()));
            continue;
        }
        (void)fd.release();
        self->clients_.push_back(client);
        // Whatever ends it: it leaves.
        asio::co_spawn(self->loop_, serve(self, client), [self, client](const std::exception_ptr&) { self->leave(client); });
    }
}

std::string Server::respond(const RequestHead& head) const {
    constexpr std::string_view text = "text/plain; charset=utf-8";
    if (!head.is_http()) return answer("400 Bad Request", text, "this is no request of HTTP/1.1\n");
    const bool head_only = head.method() == "HEAD";
    if (head.method() != "GET" && !head_only) return answer("405 Method Not Allowed", text, "only GET and HEAD\n");
    const auto path = head.target().substr(0, head.target().find('?'));
    if (path == "/") return answer("200 OK", text, "asyncvm: the metrics are at /metrics\n", head_only);
    if (path != "/metrics") return answer("404 Not Found", text, "the metrics are at /metrics\n", head_only);
    const auto format = wanted_format(head.field("accept"));
    return answer("200 OK", content_type(format), page_(format), head_only);
}

awaitable<void> Server::serve(std::shared_ptr<Server> self, std::shared_ptr<Watched> client) {
    asio::steady_timer limit(self->loop_, patience);
    limit.async_wait([client](std::error_code error) {
        std::error_code ignored;
        if (!error) client->close(ignored);
    });
    RequestHead head;
    auto state = RequestHead::State::partial;
    std::array<char, 4096> buffer;
    while (state == RequestHead::State::partial) {
        if (!client->is_open()) co_return;
        const auto got = ::recv(client->native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got > 0) {
            state = head.feed({buffer.data(), static_cast<std::size_t>(got)});
        } else if (got < 0 && errno == EAGAIN) {
            co_await wait_for(*client, Watched::wait_read);
        } else if (got == 0 || errno != EINTR) {
            co_return;
        }
    }
    const auto text =
        state == RequestHead::State::too_long
            ? answer("431 Request Header Fields Too Large", "text/plain; charset=utf-8", "the request is too long\n")
            : self->respond(head);
    for (std::string_view rest = text; !rest.empty();) {
        if (!client->is_open()) co_return;
        const auto put = ::send(client->native_handle(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (put > 0) {
            rest.remove_prefix(static_cast<std::size_t>(put));
        } else if (errno == EAGAIN) {
            co_await wait_for(*client, Watched::wait_write);
        } else if (errno != EINTR) {
            co_return;
        }
    }
    // To close with input unread would be a reset, which can take the answer from the client.
    ::shutdown(client->native_handle(), SHUT_WR);
    while (client->is_open()) {
        const auto got = ::recv(client->native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) co_return;
        if (got < 0 && errno == EAGAIN) co_await wait_for(*client, Watched::wait_read);
    }
}

void Server::close() noexcept {
    if (std::exchange(closed_, true)) return;
    std::error_code ignored;
    if (listener_) listener_->close(ignored);
    for (const auto& client : clients_) client->close(ignored);
    clients_.clear();
    file_.reset();
    changed_.notify();
}

}  // namespace asyncvm::metrics
