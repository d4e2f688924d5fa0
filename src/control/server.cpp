#include "control/server.hpp"

#include "control/conversation.hpp"
#include "socket/accept.hpp"
#include "socket/address.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <system_error>
#include <utility>

namespace asyncvm::control {

namespace {

/// What a client may leave unread; behind that it is given up.
constexpr std::size_t most_unread = 8 << 20;
/// From here on its commands wait.
constexpr std::size_t much_unread = 1 << 20;

bool may_connect(int fd) {
    ucred peer{};
    socklen_t size = sizeof peer;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return false;
    return peer.uid == ::geteuid() || peer.uid == 0;
}

bool listens(int fd) {
    int listening = 0;
    socklen_t size = sizeof listening;
    return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening != 0;
}

UniqueFd adopt(int fd) {
    int type = 0;
    socklen_t size = sizeof type;
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0) {
        throw Error(ErrorKind::host, fmt::format("--control fd:{}: descriptor {} is not open", fd, fd));
    }
    if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM) {
        throw Error(ErrorKind::host, fmt::format("--control fd:{}: it is no stream socket", fd));
    }
    (void)::fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    return UniqueFd(fd);
}

}  // namespace

class Server::Client {
public:
    Client(asio::io_context& loop, UniqueFd fd) : socket_(loop, fd.get()) { (void)fd.release(); }

    [[nodiscard]] Watched& socket() noexcept { return socket_; }
    [[nodiscard]] bool over() const noexcept { return over_; }
    [[nodiscard]] bool done() const noexcept { return over_ || unsent() == 0; }
    [[nodiscard]] std::size_t unsent() const noexcept { return output_.size() - sent_; }
    [[nodiscard]] Event& news() noexcept { return news_; }

    void send(std::string_view line) {
        if (over_) return;
        output_.erase(0, std::exchange(sent_, 0));
        output_ += line;
        news_.notify();
    }

    void end() noexcept {
        if (std::exchange(over_, true)) return;
        std::error_code ignored;
        socket_.close(ignored);
        news_.notify();
    }

    /// Returns 0, or why it has not sent all.
    int flush() {
        while (!done()) {
            const auto put = ::send(socket_.native_handle(), output_.data() + sent_, unsent(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (put < 0 && errno != EINTR) return errno;
            if (put > 0) sent_ += static_cast<std::size_t>(put);
        }
        return 0;
    }

    Conversation conversation;

private:
    Watched socket_;
    std::string output_;
    std::size_t sent_ = 0;
    Event news_;  ///< there is something to send, or much less than before, or it is over
    bool over_ = false;
};

Server::Server(asio::io_context& loop, const Place& place, Log log, Execute execute)
    : loop_(loop), log_(std::move(log)), execute_(std::move(execute)) {
    UniqueFd fd;
    if (place.path.empty()) {
        where_ = fmt::format("fd:{}", place.descriptor);
        fd = adopt(place.descriptor);
        if (!listens(fd.get())) {
            connection_ = std::move(fd);
            return;
        }
    } else {
        where_ = "unix:" + place.path;
        fd = listen_unix(place.path, file_, 0600);
    }
    listener_.emplace(loop, fd.get());
    (void)fd.release();
}

void Server::start(bool held) {
    if (listener_) {
        const auto* const next = held ? "; the guest waits for cont (asyncvm ctl PATH cont)" : "";
        log_(fmt::format("the control socket is {}{}", where_, next));
        spawn(accept_all(shared_from_this()));
    } else {
        admit(std::move(connection_));
    }
}

void Server::spawn(awaitable<void> work) {
    asio::co_spawn(loop_, std::move(work), [self = shared_from_this()](const std::exception_ptr& failure) {
        if (!failure || self->closed_) return;
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            self->log_(fmt::format("the control socket {} stopped working: {}", self->where_, error.what()));
        }
    });
}

void Server::admit(UniqueFd fd) {
    const auto client = std::make_shared<Client>(loop_, std::move(fd));
    clients_.push_back(client);
    client->send(Conversation::greeting());
    spawn(listen_to(shared_from_this(), client));
    spawn(send_to(shared_from_this(), client));
}

void Server::leave(const std::shared_ptr<Client>& client) noexcept {
    client->end();
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
        if (!may_connect(fd.get())) {
            self->log_(fmt::format("another user's program was turned away from the control socket {}", self->where_));
            continue;
        }
        try {
            self->admit(std::move(fd));
        } catch (const std::system_error& error) {
            self->log_(fmt::format("a client of the control socket {} was turned away: {}", self->where_, error.what()));
        }
    }
}

awaitable<void> Server::answer_all(std::shared_ptr<Server> self, std::shared_ptr<Client> client) {
    for (;;) {
        const auto seen = client->news().generation();
        if (client->over()) co_return;
        if (client->unsent() > much_unread) {
            co_await client->news().wait(seen);
            continue;
        }
        auto step = client->conversation.next();
        if (!step) co_return;
        if (!step->request) {
            client->send(step->answer);
            continue;
        }
        std::string line;
        std::exception_ptr failure;
        try {
            const Json answer = co_await self->execute_(*step->request->command, step->request->arguments);
            line = Conversation::answer(*step->request, answer);
        } catch (const CommandError& error) {
            line = Conversation::refusal(step->request->id, error);
        } catch (const Error& error) {
            line = Conversation::refusal(step->request->id, CommandError(error.what()));
        }
        client->send(line);
    }
}

awaitable<void> Server::listen_to(std::shared_ptr<Server> self, std::shared_ptr<Client> client) {
    std::array<char, 4096> buffer;
    for (;;) {
        co_await answer_all(self, client);
        if (client->over()) co_return;
        const auto got = ::recv(client->socket().native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (got > 0) {
            client->conversation.feed({buffer.data(), static_cast<std::size_t>(got)});
        } else if (got < 0 && errno == EAGAIN) {
            co_await wait_for(client->socket(), Watched::wait_read);
        } else if (got == 0 || errno != EINTR) {
            static_cast<void>(client->flush());
            self->leave(client);
            co_return;
        }
    }
}

awaitable<void> Server::send_to(std::shared_ptr<Server> self, std::shared_ptr<Client> client) {
    for (;;) {
        const auto seen = client->news().generation();
        if (client->over()) co_return;
        const auto before = client->unsent();
        const int error = client->flush();
        if (before > much_unread && client->unsent() <= much_unread) client->news().notify();
        if (error == EAGAIN) {
            co_await wait_for(client->socket(), Watched::wait_write);
        } else if (error != 0) {
            self->leave(client);
        } else {
            self->changed_.notify();
            co_await client->news().wait(seen);
        }
    }
}

void Server::tell(std::string_view name, const Json& data) {
    const auto line = Conversation::event(name, data, std::chrono::system_clock::now());
    const auto all = clients_;
    for (const auto& client : all) {
        if (!client->conversation.negotiated()) continue;
        if (client->unsent() + line.size() > most_unread) {
            log_(fmt::format("a client of the control socket {} does not read: it is given up", where_));
            leave(client);
        } else {
            client->send(line);
        }
    }
}

awaitable<void> Server::delivered(std::chrono::milliseconds limit) {
    const auto until = std::chrono::steady_clock::now() + limit;
    for (;;) {
        const auto seen = changed_.generation();
        for (const auto& client : clients_) static_cast<void>(client->flush());
        const auto now = std::chrono::steady_clock::now();
        if (now >= until || std::ranges::all_of(clients_, [](const auto& client) { return client->done(); })) co_return;
        co_await changed_.wait(seen, until - now);
    }
}

void Server::close() noexcept {
    if (std::exchange(closed_, true)) return;
    std::error_code ignored;
    if (listener_) listener_->close(ignored);
    for (const auto& client : clients_) client->end();
    clients_.clear();
    file_.reset();
    changed_.notify();
}

}  // namespace asyncvm::control
