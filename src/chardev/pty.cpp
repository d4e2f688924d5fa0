#include <fmt/format.h>
#include <asyncvm/error.hpp>
#include <chardev/pty.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <utility>

namespace asyncvm {
namespace {

[[noreturn]] void fail(std::string_view what, int error) {
    throw Error(ErrorKind::host, fmt::format("cannot {}: {}", what, reason(error)));
}

/// Where a symbolic link leads; empty if `path` is none.
std::string link_target(const std::string& path) {
    std::array<char, 256> target{};
    const auto size = ::readlink(path.c_str(), target.data(), target.size());
    return size > 0 ? std::string(target.data(), static_cast<std::size_t>(size)) : std::string();
}

bool younger(const timespec& a, const timespec& b) {
    return a.tv_sec != b.tv_sec ? a.tv_sec > b.tv_sec : a.tv_nsec > b.tv_nsec;
}

}  // namespace

PtyLink::PtyLink(std::string path, std::string target, std::string_view before)
    : path_(std::move(path)), target_(std::move(target)) {
    remove_left_over(before);
    if (::symlink(target_.c_str(), path_.c_str()) != 0) {
        const int error = errno;
        throw Error(ErrorKind::host, fmt::format("cannot make the link {} to {}: {}{}", path_, target_, reason(error),
                                                 error == ENOENT ? " (the directory must exist)" : ""));
    }
    struct stat status {};
    if (::lstat(path_.c_str(), &status) == 0) inode_ = status.st_ino;
}

PtyLink::~PtyLink() {
    struct stat status {};
    if (::lstat(path_.c_str(), &status) != 0 || status.st_ino != inode_ || link_target(path_) != target_) return;
    (void)::unlink(path_.c_str());
}

void PtyLink::remove_left_over(std::string_view before) const {
    struct stat link {};
    if (::lstat(path_.c_str(), &link) != 0) return;
    const auto target = link_target(path_);
    if (!target.starts_with("/dev/pts/")) {
        throw Error(
            ErrorKind::host,
            fmt::format("cannot make the link {}: there is a file that is no link to a pseudo-terminal (take another "
                        "path)",
                        path_));
    }
    // Numbers are used again: a terminal with the number of one that has gone came after the link.
    struct stat terminal {};
    const bool in_use = target != target_ && target != before && ::stat(target.c_str(), &terminal) == 0 &&
                        !younger(terminal.st_ctim, link.st_mtim);
    if (in_use) {
        throw Error(ErrorKind::host,
                    fmt::format("cannot make the link {}: it leads to {}, which is in use (another asyncvm? "
                                "take another path, or remove it)",
                                path_, target));
    }
    (void)::unlink(path_.c_str());
}

Pty::Pty(const ChardevSpec& spec, ChardevEnvironment environment, Succession from)
    : Backend(spec, std::move(environment), std::move(from)) {
    UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    if (!master.valid() || ::grantpt(master.get()) != 0 || ::unlockpt(master.get()) != 0)
        fail("open a pseudo-terminal", errno);
    std::array<char, 64> name{};
    if (const int error = ::ptsname_r(master.get(), name.data(), name.size()); error != 0)
        fail("name a pseudo-terminal", error);
    path_ = name.data();
    {
        // The first open and close also make POLLHUP mean what it should.
        const UniqueFd slave(::open(path_.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
        termios settings{};
        if (!slave.valid() || ::tcgetattr(slave.get(), &settings) != 0) fail("open " + path_, errno);
        ::cfmakeraw(&settings);
        if (::tcsetattr(slave.get(), TCSANOW, &settings) != 0) fail("set up " + path_, errno);
    }
    UniqueFd events(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!events.valid() || ::inotify_add_watch(events.get(), path_.c_str(), IN_OPEN | IN_CLOSE) < 0)
        fail("watch " + path_, errno);
    master_.emplace(loop(), master.get());
    (void)master.release();
    events_.emplace(loop(), events.get());
    (void)events.release();
    const auto other = std::dynamic_pointer_cast<Pty>(before());
    if (!spec.path.empty()) link_.emplace(spec.path, path_, other ? other->path_ : std::string());
}

void Pty::run() {
    environment().log(link_ ? fmt::format("{} is on pty {} ({} leads there)", environment().label, path_, link_->path())
                            : fmt::format("{} is on pty {}", environment().label, path_));
    const auto self = std::static_pointer_cast<Pty>(shared_from_this());
    spawn(attend(self));
    spawn(send(self));
    spawn(receive(self));
}

bool Pty::present() {
    pollfd entry{master_->native_handle(), 0, 0};
    return ::poll(&entry, 1, 0) == 0;
}

awaitable<void> Pty::attend(std::shared_ptr<Pty> self) {
    // A program that has just opened the terminal may still set it up, and throw away what is there already.
    constexpr auto patience = std::chrono::milliseconds(50);
    std::array<char, 4096> ignored;
    for (;;) {
        if (self->closed()) co_return;
        if (self->present() && !self->queue().connected()) {
            const auto stamp = self->state().generation();
            co_await self->state().wait(stamp, patience);
            if (self->closed()) co_return;
        }
        self->set_connected(self->present());
        // Also when it was closed and opened again before this looked.
        self->queue().output(Queue::Reader::client).notify();
        self->queue().input().notify();
        co_await wait_for(*self->events_, Watched::wait_read);
        if (self->closed()) co_return;
        while (::read(self->events_->native_handle(), ignored.data(), ignored.size()) > 0) {
        }
    }
}

int Pty::flush() {
    constexpr int turns = 16;
    for (int turn = 0; turn < turns; ++turn) {
        queue().next(Queue::Reader::client, OutputLog::block_size, batch_);
        if (batch_.size == 0) return 0;
        const auto& bytes = batch_.pieces.front().bytes;
        const auto put = ::write(master_->native_handle(), bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return put == 0 ? EAGAIN : errno;
        last_unread_ = static_cast<std::uint64_t>(put);
        last_unread_at_ = Clock::now();
        put_since_empty_ += last_unread_;
        const auto position = batch_.position + last_unread_;
        queue().take(Queue::Reader::client, position);
        queue().deliver(position);
        if (batch_.ends_at(position)) return 0;
    }
    return EINTR;
}

awaitable<void> Pty::send(std::shared_ptr<Pty> self) {
    constexpr auto retry = std::chrono::milliseconds(100);
    auto& news = self->queue().output(Queue::Reader::client);
    OutputBurst burst;
    for (;;) {
        const auto seen = news.generation();
        if (self->ending()) co_return;
        if (!self->queue().connected() || !self->present()) {
            co_await news.wait(seen);
            continue;
        }
        const int error = self->flush();
        self->report_lost();
        if (error == 0) {
            co_await rest(self, Queue::Reader::client, seen, burst);
        } else if (error == EINTR) {
            co_await yield();
        } else if (error == EAGAIN) {
            co_await wait_for(*self->master_, Watched::wait_write);
        } else {
            co_await news.wait(seen, retry);
        }
    }
}

awaitable<void> Pty::receive(std::shared_ptr<Pty> self) {
    std::array<std::byte, 4096> buffer;
    for (;;) {
        const auto seen = self->queue().input().generation();
        if (self->closed()) co_return;
        const auto room = std::min(buffer.size(), self->queue().input_room());
        if (room == 0) {
            co_await self->queue().input().wait(seen);
            continue;
        }
        const auto got = ::read(self->master_->native_handle(), buffer.data(), room);
        if (got > 0) {
            self->queue().push_input(std::span(buffer).first(static_cast<std::size_t>(got)));
            co_await yield();
        } else if (!self->present()) {
            co_await self->queue().input().wait(seen);
        } else {
            co_await wait_for(*self->master_, Watched::wait_read);
        }
    }
}

/// Whoever has it open may read for a moment; what is left is for the next backend.
awaitable<void> Pty::leave() {
    constexpr auto patience = std::chrono::milliseconds(300);
    constexpr auto pause = std::chrono::milliseconds(5);
    constexpr int enough = 4;  // a reader may be on its way from one read() to the next
    const auto until = Clock::now() + patience;
    const bool attended = present();
    slave_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    for (int empty = 0; attended && empty < enough && Clock::now() < until;) {
        empty = unread_by_client() == 0 ? empty + 1 : 0;
        const auto seen = state().generation();
        co_await state().wait(seen, pause);
        if (closed()) co_return;
    }
    take_back_output();
    take_rest_of_input();
    set_connected(false);
}

/// Counts what can be read there: the bytes themselves may look different, if the client has set the terminal up so.
void Pty::take_back_output() {
    termios settings{};
    if (!slave_.valid() || ::tcgetattr(slave_.get(), &settings) != 0) return;
    ::cfmakeraw(&settings);
    (void)::tcsetattr(slave_.get(), TCSANOW, &settings);
    std::array<char, 4096> buffer;
    std::uint64_t unread = 0;
    for (;;) {
        (void)unread_by_client();
        const auto got = ::read(slave_.get(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        unread += static_cast<std::uint64_t>(got);
    }
    queue().undeliver(unread);
}

void Pty::take_rest_of_input() {
    std::array<std::byte, 4096> buffer;
    for (;;) {
        const auto got = ::read(master_->native_handle(), buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return;
        (void)queue().push_leftover(std::span(buffer).first(static_cast<std::size_t>(got)));
    }
}

void Pty::push() {
    if (queue().connected() && present()) (void)flush();
}

/// What shows of it at `slave_`.
std::uint64_t Pty::unread_by_client() const {
    if (!slave_.valid()) return 0;
    // The last write to the master may be on its way, and not counted yet: poll() waits for it.
    pollfd entry{slave_.get(), POLLIN, 0};
    (void)::poll(&entry, 1, 0);
    int unread = 0;
    (void)::ioctl(slave_.get(), FIONREAD, &unread);
    return static_cast<std::uint64_t>(std::max(unread, 0));
}

/// Only while draining: with the terminal open here, others that have it open can't be seen any more.
std::uint64_t Pty::in_kernel() {
    // A reader sees at most 4 KiB. The rest comes when the reader has emptied them *and* is on its way out of its read().
    // Nothing shows it in between, and on a busy machine that takes a while.
    constexpr std::uint64_t seen_at_once = 4095;
    const auto moment = std::chrono::milliseconds(put_since_empty_ > seen_at_once ? 1000 : 20);
    if (!master_ || queue().undelivered(Queue::Reader::client) > 0) return 0;
    if (!slave_.valid()) slave_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK));
    const auto unread = unread_by_client();
    const auto now = Clock::now();
    if (unread > 0) {
        last_unread_ = unread;
        last_unread_at_ = now;
    }
    if (now - last_unread_at_ < moment) return last_unread_;
    put_since_empty_ = 0;
    return 0;
}

std::string Pty::waiting(std::uint64_t bytes) const {
    const auto& path = link_ ? link_->path() : path_;
    return fmt::format("{} for somebody to read {} (cat {} shows them, Ctrl-C gives up)", bytes_wait(bytes), path, path);
}

void Pty::shut() noexcept {
    link_.reset();
    master_.reset();
    events_.reset();
    slave_.reset();
}

}  // namespace asyncvm
