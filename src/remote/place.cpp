#include "remote/place.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/sleep.hpp>

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <string_view>
#include <utility>

#include "socket/address.hpp"
#include "socket/dialer.hpp"
#include "text/errno_text.hpp"

namespace asyncvm::remote {

namespace {

using namespace std::chrono_literals;

constexpr std::string_view tcp = "tcp:";
constexpr std::string_view unix_socket = "unix:";

HostPort tcp_place(std::string_view text) {
    HostPort where;
    if (const auto wrong = parse_host_port(text.substr(tcp.size()), where); !wrong.empty()) {
        throw Error(ErrorKind::usage, fmt::format("'{}': {}", text, wrong));
    }
    return where;
}

}  // namespace

void check_socket_place(const std::string& text) {
    if (text.starts_with(unix_socket) && text.size() > unix_socket.size()) {
        static_cast<void>(unix_address(text.substr(unix_socket.size())));
    } else if (text.starts_with(tcp)) {
        static_cast<void>(tcp_place(text));
    } else {
        throw Error(ErrorKind::usage,
                    fmt::format("'{}' is neither unix:PATH nor tcp:[HOST:]PORT (for example unix:/run/dev.sock)", text));
    }
}

Place::Place(const RemoteSpec& spec, std::shared_ptr<const PollSet> set)
    : spec_(spec),
      set_(std::move(set)),
      where_(spec.how == RemoteSpec::How::exec ? fmt::format("'{}'", spec.place) : spec.place) {}

Place::~Place() {
    if (listener_.valid()) set_->remove(listener_.get());
}

void Place::open() {
    if (spec_.how != RemoteSpec::How::listen || listener_.valid()) return;
    if (spec_.place.starts_with(tcp)) {
        SocketAddress address;
        listener_ = listen_tcp(tcp_place(spec_.place), address);
        where_ = to_string(address);
    } else {
        // Who connects is a part of the machine.
        listener_ = listen_unix(spec_.place.substr(unix_socket.size()), file_, 0600);
    }
    set_->add(listener_.get(), 0);
}

awaitable<std::string> Place::connect(asio::io_context& loop, PollSet::Waiter& waiter, UniqueFd& socket) {
    if (spec_.how == RemoteSpec::How::exec) {
        process_.emplace(spec_.place, socket);
        set_->add(process_->pidfd(), EPOLLIN);
        co_return std::string();
    }
    if (spec_.how == RemoteSpec::How::listen) {
        set_->change(listener_.get(), EPOLLIN);
        for (;;) {
            co_await waiter.wait();
            socket = UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
            if (socket.valid()) break;
            // Without a descriptor left, the peer stays in the kernel's list.
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) co_await sleep_for(500ms);
        }
        set_->change(listener_.get(), 0);
    } else {
        std::optional<Dialer> dialer;
        if (spec_.place.starts_with(tcp)) {
            dialer.emplace(loop, tcp_place(spec_.place));
        } else {
            dialer.emplace(loop, spec_.place.substr(unix_socket.size()));
        }
        auto problem = co_await dialer->dial(socket);
        if (!problem.empty()) co_return problem;
    }
    const int on = 1;
    if (spec_.place.starts_with(tcp)) (void)::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    co_return std::string();
}

std::string Place::program_end() {
    if (!process_ || !process_->ended()) return {};
    auto how = process_->how();
    set_->remove(process_->pidfd());
    process_.reset();
    return how;
}

awaitable<std::string> Place::end_program(PollSet::Waiter& waiter) {
    constexpr auto patience = 150ms;
    std::string how;
    for (const int signal : {0, SIGTERM, SIGKILL}) {
        if (!process_) break;
        if (signal != 0) process_->signal(signal);
        static_cast<void>(set_->timer());
        set_->set_timer(patience, 0ms);
        for (;;) {
            how = program_end();
            if (!process_ || set_->timer() != 0) break;
            co_await waiter.wait();
        }
    }
    set_->set_timer(0ms, 0ms);
    co_return how;
}

}  // namespace asyncvm::remote
