#include "cli/console.hpp"

#include "async/signals_blocked.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <mutex>
#include <string>
#include <thread>

namespace asyncvm::cli {

namespace {

/// Waits for room. Returns whether there is some.
bool writable_within(int fd, std::chrono::milliseconds limit) noexcept {
    pollfd room{.fd = fd, .events = POLLOUT, .revents = 0};
    return ::poll(&room, 1, static_cast<int>(limit.count())) > 0;
}

/// The standard error. A write does not wait for the reader.
class StandardError {
public:
    void write(std::string_view text) noexcept {
        const std::lock_guard lock(mutex_);
        if (kept_.empty()) text.remove_prefix(write_some(text));
        if (text.empty()) return;
        keep(text);
        if (!thread_runs_) start_thread();
    }

    void flush(std::chrono::milliseconds limit) noexcept {
        const auto until = std::chrono::steady_clock::now() + limit;
        for (;;) {
            if (write_kept()) return;
            const auto left =
                std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
            if (left.count() <= 0) return;
            static_cast<void>(writable_within(STDERR_FILENO, std::min(left, look_again)));
        }
    }

private:
    static constexpr std::size_t most_kept = 64 << 10;
    static constexpr std::chrono::milliseconds look_again{1000};

    void keep(std::string_view text) noexcept {
        try {
            if (kept_.size() + text.size() <= most_kept) {
                kept_ += text;
                return;
            }
        } catch (const std::exception&) {  // no memory for it
        }
        lost_ += text.size();
    }

    void start_thread() noexcept {
        try {
            const SignalsBlocked blocked;
            std::thread([this] {
                while (!write_kept_and_rest()) static_cast<void>(writable_within(STDERR_FILENO, look_again));
            }).detach();
            thread_runs_ = true;
        } catch (const std::exception&) {
            // No thread: the next line, or the end of the program, takes it along.
        }
    }

    /// Returns whether nothing is left.
    bool write_kept() noexcept {
        const std::lock_guard lock(mutex_);
        kept_.erase(0, write_some(kept_));
        if (!kept_.empty()) return false;
        if (lost_ == 0) return true;
        try {
            kept_ = fmt::format("asyncvm: {} bytes of messages are lost: nobody took them in time\n", lost_);
        } catch (const std::exception&) {  // no memory for it
        }
        lost_ = 0;
        kept_.erase(0, write_some(kept_));
        return kept_.empty();
    }

    bool write_kept_and_rest() noexcept {
        if (!write_kept()) return false;
        const std::lock_guard lock(mutex_);
        thread_runs_ = !kept_.empty();
        return !thread_runs_;
    }

    /// Returns how much was taken, or is not wanted any more: there is no stream left to report an error of this one to.
    std::size_t write_some(std::string_view text) noexcept {
        if (!opened_) open();
        std::size_t done = 0;
        while (done < text.size()) {
            const auto rest = text.substr(done);
            const auto count = write_once(rest);
            if (count > 0) done += static_cast<std::size_t>(count);
            if (count == 0 || (count < 0 && errno == EAGAIN)) return done;
            if (count < 0 && errno != EINTR) return text.size();
        }
        return done;
    }

    ssize_t write_once(std::string_view text) noexcept {
        if (socket_) return ::send(STDERR_FILENO, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (fd_ >= 0) return ::write(fd_, text.data(), text.size());
        // At least a page of a pipe is free then.
        if (!writable_within(STDERR_FILENO, std::chrono::milliseconds(0))) return 0;
        return ::write(STDERR_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    }

    /// A pipe or a terminal is opened once more: O_NONBLOCK on the descriptor itself would hold for all processes that share
    /// it.
    void open() noexcept {
        opened_ = true;
        struct stat status {};
        if (::fstat(STDERR_FILENO, &status) != 0) return;
        socket_ = S_ISSOCK(status.st_mode);
        if (S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) fd_ = STDERR_FILENO;
        if (S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode)) {
            fd_ = ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | O_APPEND);
        }
    }

    std::mutex mutex_;
    bool opened_ = false;
    bool socket_ = false;
    int fd_ = -1;
    std::string kept_;
    std::size_t lost_ = 0;  ///< bytes for which there was no room
    bool thread_runs_ = false;
};

/// Never destroyed: its thread may still wait for a reader when the program ends.
StandardError& standard_error() noexcept {
    static auto& instance = *new StandardError;
    return instance;
}

}  // namespace

void print(std::string_view line) noexcept {
    try {
        print_plain(fmt::format("asyncvm: {}\n", line));
    } catch (const std::exception&) {
        // No memory for the line: the line alone is better than nothing.
        print_plain(line);
    }
}

void print_plain(std::string_view text) noexcept { standard_error().write(text); }

void flush_console(std::chrono::milliseconds limit) noexcept { standard_error().flush(limit); }

void print_at_once(std::initializer_list<std::string_view> parts) noexcept {
    std::array<char, 128> line;
    std::size_t size = 0;
    for (const auto part : parts) size += part.copy(line.data() + size, line.size() - size);
    if (!writable_within(STDERR_FILENO, std::chrono::milliseconds(0))) return;
    static_cast<void>(!::write(STDERR_FILENO, line.data(), size));
}

Log make_log() { return &print; }

void print_out(std::string_view text) {
    while (!text.empty()) {
        const auto count = ::write(STDOUT_FILENO, text.data(), text.size());
        if (count >= 0) {
            text.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno == EAGAIN) {
            static_cast<void>(writable_within(STDOUT_FILENO, std::chrono::milliseconds(-1)));
        } else if (errno == EPIPE) {
            // Whoever reads has seen enough (`| head`): the end of every filter. The program itself ignores the signal.
            std::signal(SIGPIPE, SIG_DFL);
            std::raise(SIGPIPE);
        } else if (errno != EINTR) {
            throw Error(ErrorKind::host, fmt::format("cannot write to the standard output: {}", reason(errno)));
        }
    }
}

void fill_standard_streams() noexcept {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        // The lowest free number is the one that is looked at.
        if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) static_cast<void>(::open("/dev/null", O_RDWR));
    }
}

}  // namespace asyncvm::cli
