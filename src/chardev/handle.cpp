// What devices hold of a backend, and how that is exchanged for another one under them.
#include <fmt/format.h>
#include <asyncvm/error.hpp>
#include <asyncvm/open_chardev.hpp>
#include <chardev/backend.hpp>
#include <chardev/stdio.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace asyncvm {

awaitable<void> Chardev::write(std::span<const std::byte> data) {
    for (;;) {
        const auto seen = changed_.generation();
        data = data.subspan(write_some(data));
        if (data.empty()) break;
        co_await changed_.wait(seen);
    }
}

namespace {

bool is_stdio(const Backend& backend) { return backend.spec().kind == ChardevSpec::Kind::stdio; }

/// What a handle shares with coroutines that may outlive it. The device's side is `queue` and `input`; the rest is the
/// device loop's.
///
/// A change keeps the queue, so that the device sees nothing of it, but where a queue is one of several devices: the one of
/// the standard streams. A device may then still be at the queue that it had before, which stays for that.
class Line {
public:
    Line(std::shared_ptr<Backend> backend, ChardevEnvironment environment, Event& changed)
        : environment_(std::move(environment)), changed_(&changed) {
        attach(std::move(backend));
    }

    [[nodiscard]] Queue& queue() const noexcept { return *queue_.load(std::memory_order_acquire); }
    /// Without it the device reads nothing.
    [[nodiscard]] bool input() const noexcept { return input_.load(std::memory_order_acquire); }
    /// Any thread.
    [[nodiscard]] std::shared_ptr<Backend> backend() const {
        const std::lock_guard lock(mutex_);
        return backend_;
    }

    void close() noexcept;

    [[nodiscard]] static awaitable<void> ready(std::shared_ptr<Line> self);
    [[nodiscard]] static awaitable<std::uint64_t> drain(std::shared_ptr<Line> self);
    [[nodiscard]] static awaitable<void> change(std::shared_ptr<Line> self, ChardevChange to);

private:
    struct Changing {
        explicit Changing(Line& of) : line(of) { line.changing_ = true; }
        Changing(const Changing&) = delete;
        Changing& operator=(const Changing&) = delete;
        ~Changing() {
            line.changing_ = false;
            line.news_.notify();
        }
        Line& line;
    };

    [[nodiscard]] bool reads(const Backend& from) const noexcept { return !is_stdio(from) || environment_.input; }
    void keep(const std::shared_ptr<Queue>& queue);
    void attach(std::shared_ptr<Backend> backend);
    void exchange(const std::shared_ptr<Backend>& next, bool keep_output);
    [[nodiscard]] static awaitable<void> await_next(std::shared_ptr<Line> self, std::shared_ptr<Backend> before);
    void refuse_if_closed() const {
        if (closed_) throw Error(ErrorKind::host, fmt::format("{} is closed: the machine has ended", environment_.label));
    }

    ChardevEnvironment environment_;
    Event* changed_;  ///< the handle's, until it is closed
    Event news_;      ///< another backend, closed, no longer changing
    mutable std::mutex mutex_;
    std::shared_ptr<Backend> backend_;
    std::atomic<Queue*> queue_ = nullptr;
    std::atomic<bool> input_ = false;
    std::vector<std::shared_ptr<Queue>> queues_;  ///< all that the device has had, each once
    std::shared_ptr<Queue> own_;                  ///< that no other device had
    bool changing_ = false;
    bool closed_ = false;
};

void Line::keep(const std::shared_ptr<Queue>& queue) {
    if (std::ranges::find(queues_, queue) == queues_.end()) queues_.push_back(queue);
}

/// The device has the queue of `backend` from now on, which starts if it does not work yet.
void Line::attach(std::shared_ptr<Backend> backend) {
    const bool works = backend->handles() > 0;
    const auto& queue = backend->shared_queue();
    keep(queue);
    if (!works) own_ = queue;
    backend->acquire();
    queue->remove_listener(*changed_);
    queue->add_listener(*changed_);
    if (!works) backend->start();
    input_.store(reads(*backend), std::memory_order_release);
    queue_.store(queue.get(), std::memory_order_release);
    if (is_stdio(*backend) && environment_.input) static_cast<StdioBackend&>(*backend).start_input(environment_);
    const std::lock_guard lock(mutex_);
    backend_ = std::move(backend);
}

void Line::close() noexcept {
    if (std::exchange(closed_, true)) return;
    if (input()) backend_->stop_input();
    backend_->release();
    queue().remove_listener(*changed_);
    changed_->notify();
    news_.notify();
}

/// Where a change has ended `before`: returns when the next one is there, or none will come.
awaitable<void> Line::await_next(std::shared_ptr<Line> self, std::shared_ptr<Backend> before) {
    for (;;) {
        const auto seen = self->news_.generation();
        if (self->closed_ || self->backend_ != before) co_return;
        co_await self->news_.wait(seen);
    }
}

awaitable<void> Line::ready(std::shared_ptr<Line> self) {
    for (;;) {
        const auto backend = self->backend_;
        co_await backend->ready();
        if (self->closed_ || !backend->retired()) co_return;
        co_await await_next(self, backend);
    }
}

awaitable<std::uint64_t> Line::drain(std::shared_ptr<Line> self) {
    for (;;) {
        const auto backend = self->backend_;
        const auto left = co_await backend->drain();
        if (self->closed_ || !backend->retired()) co_return left;
        co_await await_next(self, backend);
    }
}

awaitable<void> Line::change(std::shared_ptr<Line> self, ChardevChange to) {
    for (;;) {
        const auto seen = self->news_.generation();
        if (!self->changing_) break;
        co_await self->news_.wait(seen);
    }
    self->refuse_if_closed();
    const Changing changing(*self);
    const auto before = self->backend_;
    const bool shared = before->handles() > 1;
    if (shared && to.spec.kind == ChardevSpec::Kind::stdio) co_return;
    ChardevEnvironment environment = self->environment_;
    environment.input = to.input;
    Succession from;
    if (!shared) {
        from = Succession{before->shared_queue(), before};
    } else if (self->own_ != before->shared_queue()) {
        from.queue = self->own_;
    }
    const auto next = make_backend(to.spec, environment, from);
    from = {};
    const bool joins = next->handles() > 0;
    if (!to.connect_later) co_await next->prepare();
    if (!self->closed_ && !shared) {
        if (!joins) next->inherit();
        co_await before->retire();
    }
    if (self->closed_) {
        if (joins) {
            static_cast<StdioBackend&>(*next).give_up_input();
        } else {
            next->close();
        }
        if (!shared) before->queue().close();
        self->refuse_if_closed();
    }
    if (shared && self->input()) before->stop_input();
    self->environment_.input = to.input;
    self->exchange(next, shared);
    before->release();
    if (environment.observer) environment.observer->chardev_changed(environment.label, next->description());
    // The others say themselves where they are.
    if (!has_clients(to.spec.kind)) environment.log(fmt::format("{} goes to {}", environment.label, next->description()));
}

/// What waits in the queue follows the device, but for output to where others write, too (`keep_output`), and for input
/// where the device reads none.
void Line::exchange(const std::shared_ptr<Backend>& next, bool keep_output) {
    auto& old = queue();
    auto& now = next->queue();
    const bool had_input = input();
    if (&old != &now) {
        keep(next->shared_queue());
        if (!keep_output) old.move_output_to(now);
        if (had_input && reads(*next)) old.move_input_to(now);
    }
    attach(next);
    if (&old != &now) old.remove_listener(*changed_);
    changed_->notify();
}

/// A device's view of it.
class ChardevHandle : public Chardev {
public:
    ChardevHandle(std::shared_ptr<Backend> backend, ChardevEnvironment environment)
        : line_(std::make_shared<Line>(std::move(backend), std::move(environment), changed())) {}
    ~ChardevHandle() override { ChardevHandle::close(); }

    std::size_t write_some(std::span<const std::byte> data) noexcept override { return queue().write_some(data); }
    [[nodiscard]] bool writable() const noexcept override { return queue().writable(); }
    [[nodiscard]] std::uint64_t room() const noexcept override { return queue().room(); }
    std::size_t read_some(std::span<std::byte> data) noexcept override { return input() ? queue().read_some(data) : 0; }
    void give_back(std::size_t count) noexcept override {
        if (input()) line_->backend()->give_back(count);
    }
    bool take_break() noexcept override { return input() && queue().take_break(); }
    void send_break() override {
        if (input()) queue().push_break();
    }
    [[nodiscard]] bool readable() const noexcept override { return input() && queue().readable(); }
    [[nodiscard]] bool connected() const noexcept override { return queue().connected(); }
    [[nodiscard]] TerminalSize terminal_size() const noexcept override { return queue().terminal_size(); }
    [[nodiscard]] awaitable<void> ready() override { return Line::ready(line_); }
    [[nodiscard]] awaitable<std::uint64_t> drain() override { return Line::drain(line_); }
    [[nodiscard]] std::uint64_t undelivered() override { return line_->backend()->undelivered(); }
    [[nodiscard]] Traffic traffic() const override { return {queue().end(), queue().input_taken()}; }
    void close() noexcept override { line_->close(); }
    [[nodiscard]] std::string description() const override { return line_->backend()->description(); }

    [[nodiscard]] const std::shared_ptr<Line>& line() const noexcept { return line_; }

private:
    [[nodiscard]] Queue& queue() const noexcept { return line_->queue(); }
    [[nodiscard]] bool input() const noexcept { return line_->input(); }

    const std::shared_ptr<Line> line_;
};

const std::shared_ptr<Line>& line_of(const Chardev& chardev) {
    const auto* const handle = dynamic_cast<const ChardevHandle*>(&chardev);
    if (handle == nullptr) throw Error(ErrorKind::usage, "this chardev was not opened by open_chardev()");
    return handle->line();
}

}  // namespace

std::shared_ptr<Chardev> open_chardev(const ChardevSpec& spec, ChardevEnvironment environment) {
    auto backend = make_backend(spec, environment);
    return std::make_shared<ChardevHandle>(std::move(backend), std::move(environment));
}

std::shared_ptr<Chardev> open_chardev(std::string_view spec, ChardevEnvironment environment) {
    return open_chardev(parse_chardev_spec(spec), std::move(environment));
}

awaitable<void> change_chardev(std::shared_ptr<Chardev> chardev, ChardevChange to) {
    const auto line = line_of(*chardev);
    try {
        co_await Line::change(line, to);
    } catch (const std::system_error& error) {
        if (error.code() == asio::error::operation_aborted) throw;
        throw Error(ErrorKind::host,
                    fmt::format("cannot watch another descriptor: {} (raise the limit that `ulimit -n` shows)",
                                reason(error.code().value())));
    }
}

ChardevSpec spec_of(const Chardev& chardev) { return line_of(chardev)->backend()->spec(); }

}  // namespace asyncvm
