#include <fmt/format.h>
#include <chardev/socket.hpp>

#include <algorithm>
#include <utility>

namespace asyncvm {

std::shared_ptr<SocketBackend> SocketBackend::shared() {
    return std::static_pointer_cast<SocketBackend>(shared_from_this());
}

std::shared_ptr<Connection> SocketBackend::begin(UniqueFd fd, bool ends_with_input, bool at_once) {
    // What is spawned may run at once, and find the connection dead already.
    auto connection = std::make_shared<Connection>(loop(), std::move(fd), spec().telnet, ends_with_input);
    connection_ = connection;
    if (draining()) connection->fsm().guest_ended();
    // Output first: a server that ends its direction at once gets what the kernel takes.
    if (at_once) admit(connection);
    spawn(receive(shared(), connection));
    spawn(watch(shared(), connection));
    spawn(live(shared(), connection));
    return connection;
}

void SocketBackend::admit(const std::shared_ptr<Connection>& connection) {
    if (connection->over()) return;
    connection->admit(queue());
    set_connected(true);
    spawn(send(shared(), connection));
}

void SocketBackend::wake() {
    queue().output(Queue::Reader::client).notify();
    queue().input().notify();
    state().notify();
}

void SocketBackend::settle(const std::shared_ptr<Connection>& connection) {
    if (connection->over()) return;
    const auto thrown_away = connection->settle(queue());
    if (thrown_away > 0) {
        log(fmt::format("{} bytes of input are gone: their client has left, and the guest has not read what came before",
                        thrown_away));
    }
    if (!connection->over()) return;
    if (connection_ == connection) connection_.reset();
    set_connected(false);
    wake();
}

void SocketBackend::put_out(const std::shared_ptr<Connection>& connection) {
    connection->fsm().put_out();
    settle(connection);
}

awaitable<void> SocketBackend::send(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection) {
    auto& news = self->queue().output(Queue::Reader::client);
    auto& fsm = connection->fsm();
    OutputBurst burst;
    for (;;) {
        const auto seen = news.generation();
        switch (fsm.output()) {
            case ConnectionFsm::Output::write: {
                const bool turn_over = !connection->send(self->queue());
                self->report_lost();
                if (turn_over) co_await yield();
                break;
            }
            case ConnectionFsm::Output::wait_output:
                co_await rest(self, Queue::Reader::client, seen, burst);
                fsm.output_ready();
                break;
            case ConnectionFsm::Output::wait_writable:
                co_await wait_for(connection->descriptor(), Watched::wait_write);
                fsm.writable();
                break;
            case ConnectionFsm::Output::hold:
                co_await news.wait(seen);
                break;
            case ConnectionFsm::Output::stop:
                self->state().notify();  // it may have found the connection dead
                co_return;
        }
    }
}

awaitable<void> SocketBackend::receive(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection) {
    auto& fsm = connection->fsm();
    for (;;) {
        const auto seen = self->queue().input().generation();
        switch (fsm.input()) {
            case ConnectionFsm::Input::read:
            case ConnectionFsm::Input::discard: {
                const bool first = !fsm.heard();
                const bool more = !connection->receive(self->queue());
                if (first && fsm.heard()) self->state().notify();
                if (more) co_await yield();
                break;
            }
            case ConnectionFsm::Input::wait_readable:
                co_await wait_for(connection->descriptor(), Watched::wait_read);
                fsm.readable();
                break;
            case ConnectionFsm::Input::wait_room:
                self->state().notify();  // somebody may have to look at it from time to time now
                co_await self->queue().input().wait(seen);
                fsm.room();
                break;
            case ConnectionFsm::Input::stop:
                self->state().notify();  // the end of file, or an error
                co_return;
        }
    }
}

awaitable<void> SocketBackend::live(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection) {
    for (;;) {
        const auto seen = self->state().generation();
        self->settle(connection);
        if (connection->over()) co_return;
        const auto now = Clock::now();
        const auto until = connection->fsm().look_again(now);
        co_await self->state().wait(seen, until == Clock::time_point::max() ? Event::no_limit : until - now);
    }
}

/// Notices a dead connection also while nothing is sent and nothing may be read.
awaitable<void> SocketBackend::watch(std::shared_ptr<SocketBackend> self, std::shared_ptr<Connection> connection) {
    constexpr auto pause = std::chrono::milliseconds(100);
    for (;;) {
        if (connection->over()) co_return;
        co_await wait_for(connection->descriptor(), Watched::wait_error);
        connection->look(self->queue());
        self->state().notify();
        // A hang-up stays, and would be reported for ever: from here on live() looks.
        if (connection->fsm().has_hung_up() || connection->fsm().dead()) co_return;
        // Something else that stays and is no error must not make this spin.
        const auto until = Clock::now() + pause;
        for (;;) {
            const auto seen = self->state().generation();
            const auto now = Clock::now();
            if (connection->over()) co_return;
            if (now >= until) break;
            co_await self->state().wait(seen, until - now);
        }
    }
}

void SocketBackend::push() {
    const auto connection = connection_;
    if (!connection) return;
    connection->fsm().output_ready();
    connection->send(queue());
    settle(connection);
}

void SocketBackend::guest_ended() {
    if (!connection_) return;
    connection_->fsm().guest_ended();
    wake();
}

/// Half-closes and lets the peer close first, so that no reset takes what is on its way to it.
awaitable<void> SocketBackend::finish(Deadline deadline) {
    constexpr auto patience = std::chrono::milliseconds(100);  // no line for what takes no time
    const auto connection = connection_;
    if (!connection) co_return;
    const auto begun = Clock::now();
    connection->fsm().finish(deadline, begun);
    wake();
    bool told = false;
    for (;;) {
        const auto seen = state().generation();
        if (connection->over()) break;
        const auto now = Clock::now();
        const bool slow = connection->fsm().unread_at_peer() > 0;
        if (!told && slow && now - begun >= patience) {
            told = true;
            log(fmt::format("the guest has ended; the other side of {} has not read everything yet (Ctrl-C gives up)",
                            description()));
        }
        co_await state().wait(seen, told ? Event::no_limit : patience);
    }
    if (connection->fsm().arrived_unconfirmed()) {
        log(fmt::format(
            "the other side of {} has taken everything but has not closed its connection: what it has not read by now "
            "may be lost to it",
            description()));
    }
}

awaitable<void> SocketBackend::leave() {
    shut_sockets();
    const auto connection = connection_;
    if (!connection) co_return;
    const auto until = Clock::now() + patience_with_clients;
    connection->fsm().part(Clock::now());
    settle(connection);
    wake();
    for (;;) {
        const auto seen = state().generation();
        if (connection->over()) co_return;
        const auto now = Clock::now();
        if (now >= until) break;
        co_await state().wait(seen, until - now);
    }
    put_out(connection);
}

void SocketBackend::shut() noexcept {
    if (const auto connection = connection_) {
        connection->fsm().abandoned();
        settle(connection);
    }
    shut_sockets();
}

}  // namespace asyncvm
