#include "text/errno_text.hpp"
#include "text/parse.hpp"
#include "vsock/hub.hpp"

#include <asyncvm/sleep.hpp>

#include <fmt/format.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <system_error>

namespace asyncvm::vsock {

namespace {

/// The port of "CONNECT PORT", a line without its end.
std::optional<std::uint32_t> wanted_port(std::string_view line) {
    constexpr std::string_view word = "CONNECT ";
    constexpr std::uint64_t any = 0xffff'ffff;  // stands for no port
    if (!line.starts_with(word)) return std::nullopt;
    const auto number = parse_number(line.substr(word.size()));
    if (!number || *number >= any) return std::nullopt;
    return static_cast<std::uint32_t>(*number);
}

}  // namespace

awaitable<void> Hub::accept(std::shared_ptr<Hub> self) {
    constexpr auto retry = std::chrono::milliseconds(500);
    for (;;) {
        const auto seen = self->changed_.generation();
        if (self->closed_) co_return;
        if (self->greetings_.size() >= most_greetings) {
            co_await self->changed_.wait(seen);
            continue;
        }
        co_await wait_for(*self->listener_, Watched::wait_read);
        if (self->closed_) co_return;
        UniqueFd fd(::accept4(self->listener_->native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        const int error = fd.valid() ? 0 : errno;
        if (fd.valid() && self->serving_) {
            try {
                const auto link = std::make_shared<Link>(self->loop_, std::move(fd));
                self->greetings_.insert(link);
                self->spawn(greet(self, link));
            } catch (const std::system_error&) {  // the loop can't watch one more: the program finds itself disconnected
            }
        }
        // No descriptor is left: the program stays in the kernel's list.
        if (error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS) co_await sleep_for(retry);
    }
}

awaitable<void> Hub::greet(std::shared_ptr<Hub> self, std::shared_ptr<Link> link) {
    constexpr std::size_t longest = 32;
    std::string line;
    bool whole = false;
    while (link->socket.is_open() && line.size() < longest && !whole) {
        char byte = 0;
        // One by one: what follows the line is the stream's.
        const auto got = ::recv(link->socket.native_handle(), &byte, 1, MSG_DONTWAIT);
        if (got == 1) {
            whole = byte == '\n';
            if (!whole) line += byte;
        } else if (got < 0 && errno == EAGAIN) {
            co_await wait_for(link->socket, Watched::wait_read);
        } else if (got == 0 || errno != EINTR) {
            break;
        }
    }
    const auto port = whole ? wanted_port(line) : std::nullopt;
    self->greetings_.erase(link);
    self->changed_.notify();
    if (link->socket.is_open() && port && self->links_.size() < most_links) {
        self->ask_guest(link, *port);
    } else {
        self->shut(*link);
    }
}

void Hub::ask_guest(const std::shared_ptr<Link>& link, std::uint32_t port) {
    // Ports below are the guest's to ask for. One of 2^30 is free, as there are far fewer streams.
    Ports ports{.host = next_port_, .guest = port};
    const auto next = [this] { next_port_ = next_port_ == 2 * first_port - 1 ? first_port : next_port_ + 1; };
    for (; links_.contains(ports); ports.host = next_port_) next();
    next();
    link->stream = Stream::from_host(spec_.cid, ports);
    link->greeted = false;
    add(link);
}

awaitable<void> Hub::watch_input(std::shared_ptr<Hub> self, std::shared_ptr<Link> link) {
    for (;;) {
        const auto seen = link->changed.generation();
        if (!link->socket.is_open() || link->input_over) co_return;
        const auto phase = link->stream->phase();
        if (link->readable && phase == Stream::Phase::open) {
            co_await link->changed.wait(seen);
            continue;
        }
        co_await wait_for(link->socket, Watched::wait_read);
        if (!link->socket.is_open()) co_return;
        link->readable = true;
        if (link->stream->phase() == Stream::Phase::open) {
            self->enqueue(link);
            continue;
        }
        // Nothing is read before the guest has answered, but a program that goes is seen.
        char byte = 0;
        if (::recv(link->socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
            link->input_over = true;
            link->stream->input_ended(true);
            self->settle(link);
            co_return;
        }
        while (link->socket.is_open() && link->stream->phase() == Stream::Phase::requested) {
            const auto stamp = link->changed.generation();
            co_await link->changed.wait(stamp);
        }
        if (link->socket.is_open()) self->enqueue(link);
    }
}

awaitable<void> Hub::watch_output(std::shared_ptr<Hub> self, std::shared_ptr<Link> link) {
    for (;;) {
        const auto seen = link->changed.generation();
        if (!link->socket.is_open()) co_return;
        if (!link->blocked) {
            co_await link->changed.wait(seen);
            continue;
        }
        co_await wait_for(link->socket, Watched::wait_write);
        if (!link->socket.is_open()) co_return;
        self->settle(link);
    }
}

}  // namespace asyncvm::vsock
