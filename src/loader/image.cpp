#include "loader/image.hpp"

#include "os/unique_fd.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>
#include <asyncvm/guest_memory.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace asyncvm {
namespace {

[[noreturn]] void fail(const char* what, const std::string& path, const std::string& why) {
    throw Error(ErrorKind::guest_image, fmt::format("cannot {} {}: {}", what, image_name(path), why));
}

std::size_t read_some(int fd, std::span<std::byte> to, const std::string& path) {
    for (;;) {
        const ssize_t count = ::read(fd, to.data(), to.size());
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno == EAGAIN) {
            // A standard input that another process has made non-blocking.
            pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            fail("read", path, reason(errno));
        }
    }
}

int open_image(const std::string& path) {
    if (path == "-") return STDIN_FILENO;
    int fd = -1;
    do fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) fail("open", path, reason(errno));
    return fd;
}

}  // namespace

std::string image_name(const std::string& path) { return path == "-" ? "the standard input" : path; }

void throw_does_not_fit(const std::string& path, std::uint64_t size, std::uint64_t room, std::uint64_t load) {
    // RAM below 4 GiB ends at 3 GiB, however much there is.
    const char* const remedy = load + room == GuestMemory::low_limit ? "lower --load" : "raise --memory or lower --load";
    throw Error(ErrorKind::guest_image,
                fmt::format("{} has {} bytes, but only {} bytes of memory follow {:#x} ({})", image_name(path),
                            size == 0 ? fmt::format("more than {}", room) : fmt::to_string(size), room, load, remedy));
}

std::size_t read_image(const std::string& path, std::span<std::byte> room, std::uint64_t load) {
    const int file = open_image(path);
    const UniqueFd owner(path == "-" ? -1 : file);
    struct stat status {};
    if (::fstat(file, &status) != 0) fail("read", path, reason(errno));
    if (S_ISDIR(status.st_mode)) fail("read", path, "it is a directory, not a guest's file");
    if (::isatty(file) == 1) fail("read", path, "it is a terminal (name a file, or send one through a pipe)");
    // Checked before gigabytes are read in vain. Files in /proc and /sys have more bytes than their size says.
    if (S_ISREG(status.st_mode) && static_cast<std::uint64_t>(status.st_size) > room.size()) {
        throw_does_not_fit(path, static_cast<std::uint64_t>(status.st_size), room.size(), load);
    }
    std::size_t size = 0;
    while (size < room.size()) {
        const std::size_t count = read_some(file, room.subspan(size), path);
        if (count == 0) break;
        size += count;
    }
    if (size == room.size()) {
        std::byte one_more{};
        if (read_some(file, {&one_more, 1}, path) != 0) throw_does_not_fit(path, 0, room.size(), load);
    }
    if (size == 0)
        throw Error(ErrorKind::guest_image, fmt::format("{} is empty: there is no guest in it", image_name(path)));
    return size;
}

}  // namespace asyncvm
