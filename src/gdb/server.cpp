#include "gdb/server.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/sleep.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

#include "gdb/packet.hpp"
#include "socket/address.hpp"

namespace asyncvm::gdb {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t most_logged = 0x1000;  ///< bytes in one turn of the loop
constexpr std::size_t longest_line = 1024;   ///< bytes

}  // namespace

Server::Server(Spec spec, Surroundings surroundings)
    : spec_(std::move(spec)),
      surroundings_(std::move(surroundings)),
      debuggee_(surroundings_.machine, surroundings_.on_crash, surroundings_.log, surroundings_.watch) {
    UniqueFd fd;
    if (spec_.kind == Spec::Kind::stdio) {
        where_ = "stdio";
        return;
    }
    if (spec_.kind == Spec::Kind::tcp) {
        SocketAddress address;
        fd = listen_tcp({spec_.host, spec_.port}, address);
        where_ = to_string(address);
    } else {
        fd = listen_unix(spec_.path, file_);
        where_ = "unix:" + spec_.path;
    }
    listener_.emplace(surroundings_.loop, fd.get());
    (void)fd.release();
}

awaitable<void> Server::start(std::shared_ptr<Server> self, DebugFeatures features) {
    self->debuggee_.set_features(features);
    if (self->spec_.wait) co_await self->debuggee_.hold_start();
    if (self->surroundings_.on_crash == CrashPolicy::wait) self->spawn(hold_crashed(self));
    self->spawn(log_printed(self));
    if (self->spec_.kind == Spec::Kind::stdio) {
        self->spawn(serve_streams(self));
        co_return;
    }
    // gdb's own words for it: tcp:HOST:PORT, or the path.
    const std::string target = self->spec_.kind == Spec::Kind::tcp ? self->where_ : self->spec_.path;
    self->say(fmt::format("listens on {} (gdb -ex 'target remote {}'){}", self->where_, target,
                          self->spec_.wait ? "; the guest waits for it" : ""));
    self->spawn(serve(self));
}

void Server::spawn(awaitable<void> work) {
    asio::co_spawn(surroundings_.loop, std::move(work), [self = shared_from_this()](const std::exception_ptr& failure) {
        if (!failure || *self->closed_) return;
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            self->say(fmt::format("{} is not served any more: {}", self->where_, error.what()));
        }
    });
}

awaitable<void> Server::serve(std::shared_ptr<Server> self) {
    for (;;) {
        co_await wait_for(*self->listener_, Watched::wait_read);
        if (*self->closed_) co_return;
        UniqueFd fd(::accept4(self->listener_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!fd.valid()) {
            // Most often there is no descriptor left.
            const bool none = errno != EAGAIN && errno != EINTR && errno != ECONNABORTED;
            if (none) co_await sleep_for(500ms);
            if (*self->closed_) co_return;
            continue;
        }
        while (self->client_ && self->client_->leaves()) {
            const auto seen = self->debuggee_.changed().generation();
            co_await self->debuggee_.changed().wait(seen);
            if (*self->closed_) co_return;
        }
        if (self->client_) {
            self->say(fmt::format("another debugger on {} is refused: one is attached already", self->where_));
            self->spawn(refuse(self, std::move(fd)));
            continue;
        }
        auto connection = std::make_unique<Connection>(self->surroundings_.loop, std::move(fd));
        self->client_ = self->make_client(std::move(connection));
        self->spawn(serve_client(self));
    }
}

/// While no debugger is there: a guest of which a vCPU has crashed stands as a whole.
awaitable<void> Server::hold_crashed(std::shared_ptr<Server> self) {
    for (;;) {
        const auto seen = self->debuggee_.changed().generation();
        if (*self->closed_) co_return;
        const bool alone = !self->client_ || !self->client_->attached();
        if (alone && self->debuggee_.crashed() && !self->debuggee_.halted()) {
            co_await self->debuggee_.halt();
            continue;
        }
        co_await self->debuggee_.changed().wait(seen);
    }
}

/// While no debugger is there: what dprintfs that have stayed print are lines of the log.
awaitable<void> Server::log_printed(std::shared_ptr<Server> self) {
    Printed& printed = self->debuggee_.printed();
    for (;;) {
        const auto seen = self->debuggee_.changed().generation();
        if (*self->closed_) co_return;
        const bool alone = !self->client_ || !self->client_->attached();
        if (!alone) self->end_line();
        if (alone && !printed.empty()) {
            self->log_lines(printed.take(most_logged));
            co_await asio::post(self->surroundings_.loop, use_awaitable);
            continue;
        }
        co_await self->debuggee_.changed().wait(seen);
    }
}

void Server::log_lines(std::string_view text) {
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == '\n' || line_.size() >= longest_line) end_line();
        if (c == '\n') continue;
        // A terminal may be at the other end, and the guest chooses the bytes.
        if (byte >= 0x20 && byte != 0x7f)
            line_ += c;
        else
            line_ += c == '\t' ? "\t" : fmt::format("\\x{:02x}", byte);
    }
}

void Server::end_line() {
    if (!line_.empty()) surroundings_.log("dprintf: " + std::exchange(line_, {}));
}

std::shared_ptr<Client> Server::make_client(std::unique_ptr<Connection> connection) {
    return std::make_shared<Client>(std::move(connection),
                                    Client::Surroundings{debuggee_, spec_.width, surroundings_.monitor, closed_});
}

awaitable<void> Server::serve_client(std::shared_ptr<Server> self) {
    const auto client = self->client_;
    std::exception_ptr failure;
    auto end = Client::End::lost;
    try {
        end = co_await Client::serve(client);
    } catch (...) {
        failure = std::current_exception();
    }
    self->client_.reset();
    if (*self->closed_) co_return;
    self->debuggee_.changed().notify();
    if (failure) std::rethrow_exception(failure);
    // Nobody else can come there.
    if (self->spec_.kind == Spec::Kind::stdio && end == Client::End::lost) self->surroundings_.monitor.kill();
}

awaitable<void> Server::serve_streams(std::shared_ptr<Server> self) {
    UniqueFd in(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3));
    UniqueFd out(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3));
    auto connection = std::make_unique<Connection>(self->surroundings_.loop, std::move(in), std::move(out));
    self->client_ = self->make_client(std::move(connection));
    co_await serve_client(self);
}

/// gdb shows the reply to its first packet as a warning.
awaitable<void> Server::refuse(std::shared_ptr<Server> self, UniqueFd socket) {
    const auto connection = std::make_shared<Connection>(self->surroundings_.loop, std::move(socket));
    asio::co_spawn(self->surroundings_.loop, limit_refusal(connection), [](const std::exception_ptr&) {});
    std::array<std::byte, 4096> bytes{};
    const std::size_t first = co_await connection->read(bytes);
    if (first == 0) co_return;
    const std::string reply = "+" + frame("E.another debugger is attached to this machine");
    const bool sent = co_await connection->write(reply);
    // Until it has read that and leaves.
    for (std::size_t more = sent ? 1 : 0; more != 0;) more = co_await connection->read(bytes);
}

awaitable<void> Server::limit_refusal(std::shared_ptr<Connection> connection) {
    co_await sleep_for(1s);
    connection->close();
}

awaitable<void> Server::interrupt(std::shared_ptr<Server> self) {
    if (!self || !self->client_) co_return;
    const bool waits = self->client_->interrupt();
    if (waits) co_await come_to(self, true);
}

awaitable<void> Server::let_go(std::shared_ptr<Server> self) {
    if (!self || !self->debuggee_.halted()) co_return;
    // Its coroutine alone works with the machine while a client is there.
    if (!self->client_ || !self->client_->attached()) {
        co_await self->debuggee_.go_on();
        co_return;
    }
    self->client_->let_go();
    co_await come_to(self, false);
}

/// What the client's coroutine has been asked for.
awaitable<void> Server::come_to(std::shared_ptr<Server> self, bool halted) {
    const auto until = std::chrono::steady_clock::now() + 1s;
    for (;;) {
        const auto seen = self->debuggee_.changed().generation();
        const auto now = std::chrono::steady_clock::now();
        if (*self->closed_ || self->debuggee_.halted() == halted || now >= until) co_return;
        co_await self->debuggee_.changed().wait(seen, until - now);
    }
}

void Server::close(int code) noexcept {
    if (std::exchange(*closed_, true)) return;
    if (client_) client_->guest_ended(code);
    try {
        while (!debuggee_.printed().empty()) log_lines(debuggee_.printed().take(most_logged));
        end_line();
    } catch (const std::exception&) {
        // Without memory for it.
    }
    debuggee_.changed().notify();
    listener_.reset();
    file_.reset();
}

}  // namespace asyncvm::gdb
