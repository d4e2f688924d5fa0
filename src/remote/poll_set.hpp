/// Descriptors that a coroutine on the device loop waits for together, and that any thread adds, changes and leaves out.
#pragma once

#include <asyncvm/asio.hpp>

#include <sys/epoll.h>

#include <array>
#include <chrono>
#include <cstdint>

#include "os/unique_fd.hpp"
#include "socket/watched.hpp"

namespace asyncvm::remote {

/// An epoll instance of its own, which the device loop watches as one descriptor. So a vCPU's thread can take a socket from
/// the loop, wait for it itself and give it back, without a word to the loop's thread.
class PollSet {
public:
    /// Throws Error(host) if the process has no descriptor left.
    PollSet();

    /// `events` of epoll_ctl(2), level-triggered: 0 for none. Any thread; `fd` is open.
    void add(int fd, std::uint32_t events) const;
    void change(int fd, std::uint32_t events) const noexcept;
    void remove(int fd) const noexcept;

    /// Has the set ready once, after `delay`, and then again and again after `period`; 0 for both: never. Any thread.
    void set_timer(std::chrono::milliseconds delay, std::chrono::milliseconds period) const noexcept;
    /// How often the timer has come since the last call. Any thread.
    [[nodiscard]] std::uint64_t timer() const noexcept;

    /// What a coroutine waits with. It may not outlive the loop.
    class Waiter {
    public:
        /// Throws Error(host) if the process has no descriptor left.
        Waiter(asio::io_context& loop, const PollSet& set);
        /// Until something in the set is ready. Throws std::system_error(operation_aborted) when it is cancelled.
        [[nodiscard]] awaitable<void> wait();

    private:
        Watched watched_;
    };

private:
    UniqueFd epoll_;
    UniqueFd timer_;
};

}  // namespace asyncvm::remote
