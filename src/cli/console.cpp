#include "cli/console.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace asyncvm::cli {

namespace {

/// Returns 0 or errno.
int write_all(int fd, std::string_view text) noexcept {
    while (!text.empty()) {
        const auto count = ::write(fd, text.data(), text.size());
        if (count >= 0) {
            text.remove_prefix(static_cast<std::size_t>(count));
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
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

// There is no stream left to report an error of the standard error to.
void print_plain(std::string_view text) noexcept { static_cast<void>(write_all(STDERR_FILENO, text)); }

Log make_log() { return &print; }

void print_out(std::string_view text) {
    if (const int error = write_all(STDOUT_FILENO, text); error != 0) {
        throw Error(ErrorKind::host,
                    fmt::format("cannot write to the standard output: {}", std::generic_category().message(error)));
    }
}

void fill_standard_streams() noexcept {
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        // The lowest free number is the one that is looked at.
        if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF) static_cast<void>(::open("/dev/null", O_RDWR));
    }
}

}  // namespace asyncvm::cli
