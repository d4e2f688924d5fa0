#include "remote/poll_set.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>

#include "text/errno_text.hpp"

namespace asyncvm::remote {

namespace {

[[noreturn]] void no_descriptor() {
    throw Error(ErrorKind::host,
                fmt::format("cannot wait for a device in another process: {} (raise the limit that `ulimit -n` shows)",
                            reason(errno)));
}

int duplicate(const UniqueFd& fd) {
    const int copy = ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0);
    if (copy < 0) no_descriptor();
    return copy;
}

timespec to_timespec(std::chrono::milliseconds time) noexcept {
    return {.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
}

}  // namespace

PollSet::PollSet()
    : epoll_(::epoll_create1(EPOLL_CLOEXEC)), timer_(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) {
    if (!epoll_.valid() || !timer_.valid()) no_descriptor();
    add(timer_.get(), EPOLLIN);
}

void PollSet::add(int fd, std::uint32_t events) const {
    epoll_event event{.events = events, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) no_descriptor();
}

void PollSet::change(int fd, std::uint32_t events) const noexcept {
    epoll_event event{.events = events, .data = {.fd = fd}};
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void PollSet::remove(int fd) const noexcept { (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

void PollSet::set_timer(std::chrono::milliseconds delay, std::chrono::milliseconds period) const noexcept {
    const itimerspec setting{.it_interval = to_timespec(period), .it_value = to_timespec(delay)};
    (void)::timerfd_settime(timer_.get(), 0, &setting, nullptr);
}

std::uint64_t PollSet::timer() const noexcept {
    std::uint64_t times = 0;
    return ::read(timer_.get(), &times, sizeof times) == sizeof times ? times : 0;
}

PollSet::Waiter::Waiter(asio::io_context& loop, const PollSet& set) : watched_(loop, duplicate(set.epoll_)) {}

awaitable<void> PollSet::Waiter::wait() { return watched_.async_wait(Watched::wait_read, use_awaitable); }

}  // namespace asyncvm::remote
