/// The one owner of a file descriptor.
#pragma once

#include <unistd.h>

#include <utility>

namespace asyncvm {

/// Closes its descriptor when it ends, and when another one is moved into it. An error of
/// close(2) is ignored: the kernel has given the number back in any case. One thread at a time.
class UniqueFd {
public:
    UniqueFd() noexcept = default;
    /// Takes `fd` over; a negative number means that there is none.
    explicit UniqueFd(int fd) noexcept : fd_(fd) {}
    UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
    UniqueFd& operator=(UniqueFd&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = other.release();
        }
        return *this;
    }
    ~UniqueFd() { close(); }

    [[nodiscard]] int get() const noexcept { return fd_; }
    [[nodiscard]] bool valid() const noexcept { return fd_ >= 0; }

    /// Gives the descriptor to the caller, who must close it.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

    /// Closes the descriptor now.
    void reset() noexcept { *this = UniqueFd(); }

private:
    void close() noexcept {
        if (fd_ >= 0) ::close(fd_);
    }

    int fd_ = -1;
};

}  // namespace asyncvm
