#include <fmt/format.h>
#include <asyncvm/error.hpp>
#include <chardev/stdio.hpp>

#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <mutex>
#include <utility>
#include <vector>

namespace asyncvm {
namespace {

// Descriptors 0 and 1 belong to the process, so what stands for them does too.
std::mutex registry_mutex;
std::weak_ptr<StdioBackend> registry;

}  // namespace

std::optional<std::byte> Escape::take(std::byte byte, Action& action) {
    constexpr std::byte key{1};
    action = Action::none;
    if (!pending_) {
        pending_ = byte == key;
        return pending_ ? std::nullopt : std::optional(byte);
    }
    pending_ = false;
    switch (static_cast<char>(byte)) {
        case '\x01':
        case 'a':
            return key;
        case 'x':
            action = Action::quit;
            break;
        case 'b':
            action = Action::line_break;
            break;
        case 'c':
        case 'h':
        case '?':
            action = Action::help;
            break;
        default:
            break;
    }
    return std::nullopt;
}

StdioBackend::StdioBackend(const ChardevSpec& spec, ChardevEnvironment environment, Succession from)
    : Backend(spec, std::move(environment), std::move(from)) {
    out_.emplace(loop(), STDOUT_FILENO, true);
}

std::shared_ptr<StdioBackend> StdioBackend::get(const ChardevSpec& spec, const ChardevEnvironment& environment,
                                                const Succession& from) {
    const std::lock_guard lock(registry_mutex);
    auto backend = registry.lock();
    if (!backend || backend->closed() || backend == from.before) {
        backend = std::make_shared<StdioBackend>(spec, environment, from);
        registry = backend;
    } else if (&backend->loop() != &environment.loop) {
        throw Error(ErrorKind::host, "stdio is in use on another device loop (machines that share stdio share a loop)");
    }
    ChardevSpec plain;
    plain.kind = ChardevSpec::Kind::stdio;
    if (spec != backend->spec() && spec != plain) {
        throw Error(ErrorKind::usage,
                    fmt::format("{}: stdio: {} is on it too, and its options hold for both (give this one no "
                                "options)",
                                environment.label, backend->environment().label));
    }
    if (environment.input) backend->reserve_input(environment);
    return backend;
}

void StdioBackend::run() {
    queue().set_connected(true);
    spawn(send(std::static_pointer_cast<StdioBackend>(shared_from_this())));
}

void StdioBackend::reserve_input(const ChardevEnvironment& environment) {
    if (in_ || reserved_) {
        throw Error(ErrorKind::usage,
                    fmt::format("{}: stdio: {} reads standard input already (one device can; give this one "
                                "tcp:PORT, pty or null)",
                                environment.label, input_label_));
    }
    input_label_ = environment.label;
    reserved_ = true;
}

void StdioBackend::start_input(const ChardevEnvironment& environment) {
    reserved_ = false;
    on_quit_ = environment.on_quit;
    escape_ = Escape();
    in_.emplace(loop(), STDIN_FILENO, false);
    const auto self = std::static_pointer_cast<StdioBackend>(shared_from_this());
    if (!in_->descriptor().terminal()) {
        queue().set_source([&input = in_->descriptor(), this](std::span<std::byte> data) {
            const auto got = input.read(data);
            if (got > 0) read_ += static_cast<std::uint64_t>(got);
            return got;
        });
        spawn(watch_input(self));
        return;
    }
    if (RawTerminal::foreground(STDIN_FILENO)) {
        raw_.emplace(STDIN_FILENO);
        environment.log(fmt::format("{} is this terminal: Ctrl-A x ends, Ctrl-A h helps", input_label_));
    }
    resized_.emplace(loop(), SIGWINCH);
    spawn(watch_size(self));
    spawn(receive(self));
}

void StdioBackend::stop_input() noexcept {
    raw_.reset();
    resized_.reset();
    queue().remove_source();
    in_.reset();
    on_quit_ = nullptr;
    queue().input().notify();
}

void StdioBackend::give_back(std::size_t count) noexcept {
    struct stat status {};
    // What came before, from elsewhere, is not of this file.
    count = std::min<std::uint64_t>(count, read_);
    if (count == 0 || ::fstat(STDIN_FILENO, &status) != 0 || !S_ISREG(status.st_mode)) return;
    (void)::lseek(STDIN_FILENO, -static_cast<off_t>(count), SEEK_CUR);
}

void StdioBackend::help() const {
    environment().log("Ctrl-A x  ends asyncvm");
    environment().log("Ctrl-A h  shows this (also Ctrl-A c)");
    environment().log("Ctrl-A b  sends a BREAK to the guest");
    environment().log("Ctrl-A Ctrl-A  sends Ctrl-A to the guest; everything else goes to it anyway, Ctrl-C too");
}

void StdioBackend::take_input(std::span<const std::byte> data) {
    std::vector<std::byte> kept;
    for (const auto byte : data) {
        auto action = Escape::Action::none;
        if (const auto given = escape_.take(byte, action)) kept.push_back(*given);
        if (action == Escape::Action::help) help();
        if (action == Escape::Action::line_break) {
            queue().push_input(std::exchange(kept, {}));
            queue().push_break();
        }
        if (action == Escape::Action::quit && on_quit_) on_quit_();
    }
    queue().push_input(kept);
}

/// The input belongs to others too: to the loop of a script that reads the names of its guests there. What this process
/// reads they never get, so the device itself reads, when it wants a byte; the loop only waits where there was none.
awaitable<void> StdioBackend::watch_input(std::shared_ptr<StdioBackend> self) {
    for (;;) {
        const auto seen = self->queue().input().generation();
        if (self->closed() || !self->in_) co_return;
        switch (self->queue().source_state()) {
            case Queue::SourceState::none:
                co_return;
            case Queue::SourceState::ready:
                co_await self->queue().input().wait(seen);
                break;
            case Queue::SourceState::empty:
                co_await self->in_->wait();
                self->queue().source_refilled();
                break;
        }
    }
}

/// The signal comes to the processes in the foreground. It may also come while this one does not wait for it: then it is
/// kept.
awaitable<void> StdioBackend::watch_size(std::shared_ptr<StdioBackend> self) {
    while (self->resized_) {
        if (const auto size = RawTerminal::size(STDIN_FILENO); size != TerminalSize{}) self->queue().set_terminal_size(size);
        std::error_code ended;
        co_await self->resized_->async_wait(asio::redirect_error(use_awaitable, ended));
        if (ended) co_return;
    }
}

/// A terminal is read ahead: its keys are for the monitor, too.
awaitable<void> StdioBackend::receive(std::shared_ptr<StdioBackend> self) {
    constexpr auto background_look = std::chrono::seconds(1);
    std::array<std::byte, 4096> buffer;
    for (;;) {
        const auto seen = self->queue().input().generation();
        if (self->closed() || !self->in_) co_return;
        // Reading would stop a background process; after `fg` the terminal is this process's.
        const bool ours = RawTerminal::foreground(STDIN_FILENO);
        if (ours && !self->raw_) self->raw_.emplace(STDIN_FILENO);
        if (!ours) {
            co_await self->queue().input().wait(seen, background_look);
            continue;
        }
        const auto room = std::min(buffer.size(), self->queue().input_room());
        if (room == 0) {
            co_await self->queue().input().wait(seen);
            continue;
        }
        const auto got = self->in_->descriptor().read(std::span(buffer).first(room));
        if (got > 0) {
            self->take_input(std::span(buffer).first(static_cast<std::size_t>(got)));
            co_await yield();
        } else if (got == -EAGAIN) {
            co_await self->in_->wait();
        } else if (got != -EINTR) {
            co_return;  // the end of the input, or no way to read it: there is no more
        }
    }
}

int StdioBackend::flush() {
    constexpr int turns = 64;
    for (int turn = 0; turn < turns && out_; ++turn) {
        queue().next(Queue::Reader::client, OutputLog::block_size, batch_);
        if (batch_.size == 0) {
            failing_ = false;
            return 0;
        }
        const auto put = out_->descriptor().write(batch_.pieces.front().bytes);
        if (put == -EINTR) continue;
        failing_ = put < 0 && is_full(static_cast<int>(-put));
        if (put <= 0) return put == 0 ? EAGAIN : static_cast<int>(-put);
        const auto position = batch_.position + static_cast<std::uint64_t>(put);
        queue().take(Queue::Reader::client, position);
        queue().deliver(position);
        if (batch_.ends_at(position)) {
            failing_ = false;
            return 0;
        }
    }
    return EINTR;
}

/// Standard output is there, but can't be written now.
bool StdioBackend::is_full(int error) { return error == ENOSPC || error == EDQUOT || error == EFBIG; }

/// Nobody can ever read the rest.
void StdioBackend::give_up(int error) {
    if (std::exchange(given_up_, true)) return;
    log(fmt::format("standard output is closed ({}): what the guest prints is lost", reason(error)));
    queue().abandon_client();
    set_connected(false);
}

awaitable<void> StdioBackend::send(std::shared_ptr<StdioBackend> self) {
    constexpr auto retry = std::chrono::seconds(1);
    auto& news = self->queue().output(Queue::Reader::client);
    bool told = false;
    OutputBurst burst;
    for (;;) {
        const auto seen = news.generation();
        if (self->closed() || self->given_up_) co_return;
        const int error = self->flush();
        self->report_lost();
        switch (error) {
            case 0:
                told = false;
                co_await rest(self, Queue::Reader::client, seen, burst);
                break;
            case EINTR:
                co_await yield();
                break;
            case EAGAIN:
                co_await self->out_->wait();
                break;
            case ENOSPC:
            case EDQUOT:
            case EFBIG: {
                if (!std::exchange(told, true)) {
                    self->log(fmt::format(
                        "cannot write to standard output: {} (it is tried again each second, and the output is kept)",
                        reason(error)));
                }
                const auto stamp = self->state().generation();
                co_await self->state().wait(stamp, retry);
                break;
            }
            default:
                self->give_up(error);
                break;
        }
    }
}

void StdioBackend::push() {
    const int error = flush();
    if (error != 0 && error != EINTR && error != EAGAIN && !is_full(error)) give_up(error);
}

std::string StdioBackend::waiting(std::uint64_t bytes) const {
    return fmt::format("{} for standard output to take them (Ctrl-C gives up)", bytes_wait(bytes));
}

void StdioBackend::shut() noexcept {
    while (flush() == EINTR && out_) {
    }
    stop_input();
    out_.reset();
}

}  // namespace asyncvm
