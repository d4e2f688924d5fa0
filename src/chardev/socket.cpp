#include <chardev/socket.hpp>

#include <algorithm>
#include <utility>

namespace asyncvm {

std::shared_ptr<SocketBackend> SocketBackend::shared() {
    return std::static_pointer_cast<SocketBackend>(shared_from_this());
}

std::shared_ptr<Connection> SocketBackend::begin(UniqueFd fd) {
    // What is spawned may run at once, and find the connection dead already.
    auto connection = std::make_shared<Connection>(loop(), std::move(fd), spec().telnet);
    connection_ = connection;
    spawn(receive(shared(), connection));
    spawn(watch(shared(), connection));
    return connection;
}

void SocketBackend::admit(const std::shared_ptr<Connection>& connection) {
    if (connection->over()) return;
    connection->admit(queue());
    set_connected(true);
    spawn(send(shared(), connection));
}

void SocketBackend::end(const std::shared_ptr<Connection>& connection) {
    if (connection->over()) return;
    connection->close(queue());
    if (connection_ == connection) connection_.reset();
    // Its coroutines look up and find it over.
    queue().output(Queue::Reader::client).notify();
    queue().input().notify();
    set_connected(false);
}

awaitable<void> SocketBackend::send(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection) {
    auto& news = self->queue().output(Queue::Reader::client);
    std::uint64_t position = 0;
    for (;;) {
        const auto seen = news.generation();
        if (connection->over()) co_return;
        const auto progress = connection->pump(self->queue());
        self->report_lost();
        switch (progress) {
            case Connection::Progress::idle:
                co_await rest(self, Queue::Reader::client, seen, position);
                break;
            case Connection::Progress::blocked:
                co_await wait_for(connection->descriptor(), Watched::wait_write);
                break;
            case Connection::Progress::more:
                co_await yield();
                break;
            case Connection::Progress::failed:
                self->end(connection);
                break;
        }
    }
}

awaitable<void> SocketBackend::receive(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection) {
    for (;;) {
        const auto seen = self->queue().input().generation();
        if (connection->over()) co_return;
        const bool first = !connection->heard();
        const auto input = connection->receive(self->queue());
        switch (input) {
            case Connection::Input::got:
                if (first) self->state().notify();
                co_await yield();
                break;
            case Connection::Input::none:
                co_await wait_for(connection->descriptor(), Watched::wait_read);
                break;
            case Connection::Input::no_room:
                co_await self->queue().input().wait(seen);
                break;
            case Connection::Input::eof:
                self->state().notify();
                co_return;
            case Connection::Input::failed:
                self->end(connection);
                break;
        }
    }
}

/// Notices a dead connection also while nothing is sent and nothing may be read.
awaitable<void> SocketBackend::watch(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection) {
    constexpr auto pause = std::chrono::milliseconds(100);
    for (;;) {
        if (connection->over()) co_return;
        co_await wait_for(connection->descriptor(), Watched::wait_error);
        if (connection->over()) co_return;
        if (connection->dead()) {
            self->end(connection);
            co_return;
        }
        // Something that stays ready and is no error must not make this spin.
        const auto seen = self->state().generation();
        co_await self->state().wait(seen, pause);
    }
}

void SocketBackend::push() {
    const auto connection = connection_;
    if (!connection) return;
    const auto progress = connection->pump(queue());
    if (progress == Connection::Progress::failed) {
        end(connection);
    } else {
        connection->sample(queue());
    }
}

/// Half-closes and lets the peer close first, so that no reset takes from it what it has not read.
awaitable<void> SocketBackend::finish(Clock::time_point until) {
    constexpr Clock::duration pause = std::chrono::milliseconds(5);
    const auto connection = connection_;
    if (!connection) co_return;
    connection->half_close();
    queue().input().notify();
    for (;;) {
        const auto seen = state().generation();
        if (connection->over()) co_return;
        const auto now = Clock::now();
        if ((connection->eof() && connection->all_arrived()) || now >= until) break;
        co_await state().wait(seen, connection->eof() ? std::min(pause, until - now) : until - now);
    }
    end(connection);
}

void SocketBackend::shut() noexcept {
    if (const auto connection = connection_) end(connection);
    shut_sockets();
}

}  // namespace asyncvm
