#include <chardev/socket.hpp>

#include <algorithm>
#include <utility>

namespace asyncvm {

std::shared_ptr<SocketBackend> SocketBackend::shared() {
    return std::static_pointer_cast<SocketBackend>(shared_from_this());
}

std::shared_ptr<Session> SocketBackend::begin(UniqueFd fd) {
    // What is spawned may run at once, and find the connection dead already.
    auto session = std::make_shared<Session>(loop(), std::move(fd), spec().telnet);
    session_ = session;
    spawn(receive(shared(), session));
    spawn(watch(shared(), session));
    return session;
}

void SocketBackend::admit(const std::shared_ptr<Session>& session) {
    if (session->over()) return;
    session->admit(queue());
    set_connected(true);
    spawn(send(shared(), session));
}

void SocketBackend::end(const std::shared_ptr<Session>& session) {
    if (session->over()) return;
    session->close(queue());
    if (session_ == session) session_.reset();
    // Its coroutines look up and find it over.
    queue().output(Queue::Reader::client).notify();
    queue().input().notify();
    set_connected(false);
}

awaitable<void> SocketBackend::send(std::shared_ptr<SocketBackend> self, std::shared_ptr<Session> session) {
    auto& news = self->queue().output(Queue::Reader::client);
    std::uint64_t position = 0;
    for (;;) {
        const auto seen = news.generation();
        if (session->over()) co_return;
        const auto progress = session->pump(self->queue());
        self->report_lost();
        switch (progress) {
            case Session::Progress::idle:
                co_await rest(self, Queue::Reader::client, seen, position);
                break;
            case Session::Progress::blocked:
                co_await wait_for(session->descriptor(), Watched::wait_write);
                break;
            case Session::Progress::more:
                co_await yield();
                break;
            case Session::Progress::failed:
                self->end(session);
                break;
        }
    }
}

awaitable<void> SocketBackend::receive(std::shared_ptr<SocketBackend> self, std::shared_ptr<Session> session) {
    for (;;) {
        const auto seen = self->queue().input().generation();
        if (session->over()) co_return;
        const bool first = !session->heard();
        const auto input = session->receive(self->queue());
        switch (input) {
            case Session::Input::got:
                if (first) self->state().notify();
                co_await yield();
                break;
            case Session::Input::none:
                co_await wait_for(session->descriptor(), Watched::wait_read);
                break;
            case Session::Input::no_room:
                co_await self->queue().input().wait(seen);
                break;
            case Session::Input::eof:
                self->state().notify();
                co_return;
            case Session::Input::failed:
                self->end(session);
                break;
        }
    }
}

/// Notices a dead connection also while nothing is sent and nothing may be read.
awaitable<void> SocketBackend::watch(std::shared_ptr<SocketBackend> self, std::shared_ptr<Session> session) {
    constexpr auto pause = std::chrono::milliseconds(100);
    for (;;) {
        if (session->over()) co_return;
        co_await wait_for(session->descriptor(), Watched::wait_error);
        if (session->over()) co_return;
        if (session->dead()) {
            self->end(session);
            co_return;
        }
        // Something that stays ready and is no error must not make this spin.
        const auto seen = self->state().generation();
        co_await self->state().wait(seen, pause);
    }
}

void SocketBackend::push() {
    const auto session = session_;
    if (!session) return;
    const auto progress = session->pump(queue());
    if (progress == Session::Progress::failed) {
        end(session);
    } else {
        session->sample(queue());
    }
}

/// Half-closes and lets the peer close first, so that no reset takes from it what it has not read.
awaitable<void> SocketBackend::finish(Clock::time_point until) {
    constexpr Clock::duration pause = std::chrono::milliseconds(5);
    const auto session = session_;
    if (!session) co_return;
    session->half_close();
    queue().input().notify();
    for (;;) {
        const auto seen = state().generation();
        if (session->over()) co_return;
        const auto now = Clock::now();
        if ((session->eof() && session->all_arrived()) || now >= until) break;
        co_await state().wait(seen, session->eof() ? std::min(pause, until - now) : until - now);
    }
    end(session);
}

void SocketBackend::shut() noexcept {
    if (const auto session = session_) end(session);
    shut_sockets();
}

}  // namespace asyncvm
