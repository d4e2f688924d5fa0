#include <fmt/format.h>
#include <chardev/backend.hpp>

#include <algorithm>
#include <asio/execution_context.hpp>
#include <cerrno>
#include <exception>
#include <mutex>
#include <system_error>
#include <utility>
#include <vector>

namespace asyncvm {
namespace {

/// Closes the backends of a loop that is being destroyed, before the loop's services go.
class BackendService : public asio::execution_context::service {
public:
    using key_type = BackendService;
    static asio::execution_context::id id;

    explicit BackendService(asio::execution_context& context) : asio::execution_context::service(context) {}

    void add(const std::shared_ptr<Backend>& backend) {
        const std::lock_guard lock(mutex_);
        std::erase_if(backends_, [](const auto& weak) { return weak.expired(); });
        backends_.push_back(backend);
    }

private:
    void shutdown() noexcept override {
        std::vector<std::weak_ptr<Backend>> all;
        {
            const std::lock_guard lock(mutex_);
            all.swap(backends_);
        }
        for (const auto& weak : all) {
            if (const auto backend = weak.lock()) backend->close();
        }
    }

    std::mutex mutex_;
    std::vector<std::weak_ptr<Backend>> backends_;
};

asio::execution_context::id BackendService::id;

constexpr std::uint64_t pty_keeps = 32 << 10;

OutputLog::Options log_options(const ChardevSpec& spec) {
    OutputLog::Options options;
    options.capacity = spec.backlog;
    // A pseudo-terminal's kernel holds less: what nobody has read there is sent elsewhere, if it has to be.
    options.history = spec.kind == ChardevSpec::Kind::pty ? pty_keeps : spec.history;
    options.drop = spec.full == ChardevSpec::Full::drop;
    options.client = spec.kind != ChardevSpec::Kind::null;
    options.copy = !spec.log.empty();
    return options;
}

}  // namespace

bool has_clients(ChardevSpec::Kind kind) noexcept {
    return kind == ChardevSpec::Kind::tcp || kind == ChardevSpec::Kind::unix_socket || kind == ChardevSpec::Kind::pty;
}

std::string bytes_wait(std::uint64_t bytes) { return bytes == 1 ? "1 byte waits" : fmt::format("{} bytes wait", bytes); }

Backend::Backend(const ChardevSpec& spec, ChardevEnvironment environment, Succession from)
    : spec_(spec), environment_(std::move(environment)), from_(std::move(from)), queue_(from_.queue) {
    const bool goes_on = from_.before && from_.before->copy_ && from_.before->spec_.log == spec_.log;
    if (!spec_.log.empty() && !goes_on) copy_ = std::make_shared<FileSink>(spec_.log, spec_.append, Queue::Reader::copy);
    if (queue_) return;
    queue_ = std::make_shared<Queue>(log_options(spec_));
    queue_->set_terminal_size(spec_.size);
    queue_->observe(environment_.observer, environment_.label);
}

awaitable<void> Backend::prepare() { co_return; }

void Backend::inherit() {
    if (!from_.before || copy_ || spec_.log.empty()) return;
    copy_ = from_.before->copy_;
    from_.before->copy_goes_on_ = true;
}

void Backend::start() {
    if (from_.queue) {
        queue_->reconfigure(log_options(spec_));
        if (spec_.size != TerminalSize{}) queue_->set_terminal_size(spec_.size);
        if (has_clients(spec_.kind)) queue_->set_connected(false);
        lost_told_ = queue_->lost();
    }
    from_ = {};
    asio::use_service<BackendService>(environment_.loop).add(shared_from_this());
    if (copy_) spawn(feed_copy(shared_from_this(), copy_));
    run();
}

awaitable<void> Backend::leave() { co_return; }

awaitable<void> Backend::retire() {
    const auto self = shared_from_this();
    retiring_ = true;
    push();
    co_await leave();
    if (closed_) co_return;
    end();
    queue_->wake();
    state_.notify();
}

void Backend::release() noexcept {
    if (--handles_ == 0) close();
}

void Backend::end() noexcept {
    closed_ = true;
    // What has been accepted is in the copy even when nobody drained.
    if (copy_ && !copy_goes_on_) copy_->close(*queue_);
    shut();
    report_lost(true);
}

void Backend::close() noexcept {
    if (closed_) return;
    end();
    queue_->close();
    state_.notify();
}

void Backend::log(std::string_view text) const { environment_.log(fmt::format("{}: {}", environment_.label, text)); }

void Backend::set_connected(bool connected) {
    was_connected_ = was_connected_ || connected;
    if (environment_.observer && connected != queue_->connected()) {
        environment_.observer->chardev(environment_.label, connected ? ChardevEvent::connected : ChardevEvent::disconnected);
    }
    queue_->set_connected(connected);
    state_.notify();
}

void Backend::report_lost(bool now) {
    if (spec_.full != ChardevSpec::Full::drop) return;
    const auto lost = queue_->lost();
    if (lost == lost_told_) return;
    const auto time = Clock::now();
    if (!now && time - lost_told_at_ < std::chrono::seconds(1)) return;
    log(fmt::format("{} bytes of output are gone: {} did not take them in time (full=wait would have made the guest wait)",
                    lost - lost_told_, description()));
    lost_told_ = lost;
    lost_told_at_ = time;
}

void Backend::spawn(awaitable<void> work) {
    asio::co_spawn(environment_.loop, std::move(work), [self = shared_from_this()](std::exception_ptr failure) {
        if (!failure || self->closed_) return;
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            self->log(fmt::format("{} stopped working: {}", self->description(), error.what()));
        }
    });
}

awaitable<void> Backend::yield() {
    const auto executor = co_await asio::this_coro::executor;
    co_await asio::post(executor, use_awaitable);
}

awaitable<void> Backend::rest(std::shared_ptr<Backend> self, Queue::Reader reader, std::uint64_t seen, OutputBurst& burst) {
    if (self->draining_) self->state_.notify();
    auto& queue = *self->queue_;
    const auto pause = burst.pause(queue.position(reader), queue.heard(), Clock::now());
    if (pause > Clock::duration::zero()) {
        co_await queue.output(reader).wait(seen, pause);
    } else if (queue.arm(reader)) {
        co_await queue.output(reader).wait(seen);
    } else {
        // There is something, which the caller has not taken: it tries again, but never without a turn for the others.
        co_await yield();
    }
}

awaitable<void> Backend::feed(std::shared_ptr<Backend> self, FileSink& sink) {
    constexpr auto retry = std::chrono::seconds(1);
    constexpr auto retry_full_pipe = std::chrono::milliseconds(10);
    auto& news = self->queue_->output(sink.reader());
    bool failing = false;
    OutputBurst burst;
    for (;;) {
        const auto seen = news.generation();
        if (self->closed_) co_return;
        const int error = sink.flush(*self->queue_);
        if (error == 0) {
            if (failing) self->log(fmt::format("{} is being written again", sink.path()));
            failing = false;
            co_await rest(self, sink.reader(), seen, burst);
            continue;
        }
        if (error == EINTR) {
            co_await yield();
            continue;
        }
        const bool full_pipe = error == EAGAIN;
        if (!failing && !full_pipe) {
            failing = true;
            self->log(fmt::format("cannot write {}: {} (it is tried again each second, and the output is kept)", sink.path(),
                                  reason(error)));
        }
        const auto stamp = self->state_.generation();
        co_await self->state_.wait(stamp, full_pipe ? Clock::duration(retry_full_pipe) : Clock::duration(retry));
    }
}

awaitable<void> Backend::feed_copy(std::shared_ptr<Backend> self, std::shared_ptr<FileSink> sink) {
    co_await feed(self, *sink);
}

awaitable<void> Backend::ready() {
    const auto self = shared_from_this();
    for (;;) {
        const auto seen = state_.generation();
        if (!spec_.wait || was_connected_ || closed_) co_return;
        co_await state_.wait(seen);
    }
}

std::uint64_t Backend::undelivered() {
    return std::max(queue_->undelivered(Queue::Reader::client) + in_kernel(), queue_->undelivered(Queue::Reader::copy));
}

std::string Backend::waiting_text() {
    const auto client = queue_->undelivered(Queue::Reader::client) + in_kernel();
    auto text = client > 0 ? waiting(client)
                           : fmt::format("{} to be written to {} (Ctrl-C gives up)",
                                         bytes_wait(queue_->undelivered(Queue::Reader::copy)), copy_->path());
    if (stuck() && !spec_.linger) text += fmt::format("; given up after {} s", patience_with_files.count());
    return text;
}

bool Backend::stuck() {
    const bool client = queue_->undelivered(Queue::Reader::client) + in_kernel() > 0;
    const bool copy = queue_->undelivered(Queue::Reader::copy) > 0;
    return (client || copy) && (!client || failing()) && (!copy || copy_->failing());
}

awaitable<void> Backend::finish(Deadline) { co_return; }

awaitable<std::uint64_t> Backend::drain() {
    constexpr auto patience = std::chrono::milliseconds(100);  // no line for what takes no time
    constexpr auto longest_pause = std::chrono::milliseconds(50);
    const auto self = shared_from_this();
    const auto begun = Clock::now();
    const Deadline deadline = spec_.linger ? Deadline(begun + *spec_.linger) : Deadline();
    Deadline stuck_until;
    Clock::duration pause = std::chrono::milliseconds(1);
    bool told = false;
    draining_ = true;
    guest_ended();
    for (;;) {
        const auto seen = state_.generation();
        if (closed_) break;
        if (copy_) copy_->flush(*queue_);
        push();
        if (undelivered() == 0) break;
        const auto now = Clock::now();
        if (deadline && now >= *deadline) break;
        if (deadline || !stuck()) {
            stuck_until.reset();
        } else if (!stuck_until) {
            stuck_until = now + patience_with_files;
        } else if (now >= *stuck_until) {
            break;
        }
        if (!told && (now - begun >= patience || !attended())) {
            told = true;
            log(fmt::format("the guest has ended; {}", waiting_text()));
        }
        // A client that comes or is ready to take more notifies; that the last bytes have arrived must be asked for.
        auto limit = attended() || in_kernel() > 0 ? pause : Event::no_limit;
        for (const auto& end : {deadline, stuck_until}) {
            if (end) limit = std::min(limit, *end - now);
        }
        pause = std::min<Clock::duration>(2 * pause, longest_pause);
        co_await state_.wait(seen, limit);
    }
    if (!closed_) co_await finish(deadline);
    report_lost(true);
    co_return undelivered() + undeliverable();
}

}  // namespace asyncvm
