#include "text/parse.hpp"

#include <fmt/format.h>
#include <asyncvm/error.hpp>
#include <chardev/file_sink.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

namespace asyncvm {
namespace {

[[noreturn]] void cannot_open(const std::string& path, const std::string& why) {
    throw Error(ErrorKind::host, fmt::format("cannot open {}: {}", path, why));
}

/// `path` without links and dots; empty if there is no such file.
std::string real_path(const std::string& path) {
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
    return real ? std::string(real.get()) : std::string();
}

/// The descriptor of this process that `path` leads to, through as many links as there are.
std::optional<int> descriptor_of(std::string path) {
    constexpr int most_links = 40;
    for (int link = 0; link < most_links; ++link) {
        const auto slash = path.rfind('/');
        const auto folder = real_path(slash == path.npos ? "." : path.substr(0, slash + 1));
        if (folder.empty()) return std::nullopt;
        if (folder.starts_with("/proc/") && folder == real_path("/proc/self") + "/fd") {
            const auto number = parse_number(std::string_view(path).substr(slash + 1));
            return number && *number <= INT_MAX ? std::optional(static_cast<int>(*number)) : std::nullopt;
        }
        std::array<char, PATH_MAX> target{};
        const auto size = ::readlink(path.c_str(), target.data(), target.size());
        if (size <= 0) return std::nullopt;
        const std::string_view next(target.data(), static_cast<std::size_t>(size));
        path = next.starts_with('/') ? std::string(next) : fmt::format("{}/{}", folder, next);
    }
    return std::nullopt;
}

/// Why open(2) found nothing behind a file that exists (ENXIO).
std::string nobody_there(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0) {
        if (S_ISSOCK(status.st_mode)) return fmt::format("it is a socket (unix:{},client connects to it)", path);
        if (S_ISFIFO(status.st_mode)) return "nobody reads this pipe (start its reader first)";
        if (path == "/dev/tty") return "this process has no terminal";
    }
    return reason(ENXIO);
}

}  // namespace

/// The files that this process has opened for output.
class FileSink::OpenFiles {
public:
    /// Returns whether it is the only one.
    [[nodiscard]] static bool add(const Identity& file) {
        auto& [mutex, counts] = all();
        const std::lock_guard lock(mutex);
        return counts[file]++ == 0;
    }
    static void remove(const Identity& file) noexcept {
        auto& [mutex, counts] = all();
        const std::lock_guard lock(mutex);
        const auto found = counts.find(file);
        if (found != counts.end() && --found->second == 0) counts.erase(found);
    }

private:
    struct All {
        std::mutex mutex;
        std::map<Identity, unsigned> counts;
    };
    static All& all() {
        static All files;
        return files;
    }
};

FileSink::FileSink(std::string path, bool append, Queue::Reader reader) : path_(std::move(path)), reader_(reader) {
    if (const auto fd = descriptor_of(path_)) {
        adopt(*fd);
    } else {
        open(append);
    }
}

void FileSink::close(Queue& queue) noexcept {
    while (flush(queue) == EINTR) {
    }
    close();
}

void FileSink::close() noexcept {
    file_.reset();
    shared_.reset();
    if (registered_) OpenFiles::remove(*registered_);
    registered_.reset();
}

/// What the process has opened for itself, such as sockets of other chardevs, is closed on exec, and no one's to write to.
void FileSink::adopt(int fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0) cannot_open(path_, fmt::format("descriptor {} is not open", fd));
    if ((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
        cannot_open(path_, fmt::format("descriptor {} is open for reading only", fd));
    }
    shared_.emplace(fd, true);
}

void FileSink::open(bool append) {
    // O_NONBLOCK: a FIFO that nobody reads must not hang the start.
    constexpr int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    file_ = UniqueFd(::open(path_.c_str(), flags, 0666));
    if (!file_.valid()) {
        const int error = errno;
        if (error == ENXIO) cannot_open(path_, nobody_there(path_));
        cannot_open(path_ + " for writing", reason(error));
    }
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    const Identity identity{status.st_dev, status.st_ino};
    for (const int standard : {STDOUT_FILENO, STDERR_FILENO}) {
        struct stat other {};
        if (::fstat(standard, &other) != 0 || Identity{other.st_dev, other.st_ino} != identity) continue;
        if ((::fcntl(standard, F_GETFL) & O_ACCMODE) == O_RDONLY) continue;
        file_.reset();
        shared_.emplace(standard, true);
        return;
    }
    const bool first = OpenFiles::add(identity);
    registered_ = identity;
    if (first && !append && ::ftruncate(file_.get(), 0) != 0) {
        const int error = errno;
        close();
        cannot_open(path_ + " for writing", fmt::format("it can't be emptied: {} (add append)", reason(error)));
    }
}

long FileSink::write(std::span<const std::byte> data) noexcept {
    return shared_ ? shared_->write(data) : write_quietly(file_.get(), data);
}

int FileSink::flush(Queue& queue) {
    constexpr int turns = 1024;  // a fast writer must not keep the loop for itself
    for (int turn = 0; turn < turns; ++turn) {
        queue.next(reader_, OutputLog::block_size, batch_);
        if (batch_.size == 0) {
            failing_ = false;
            return 0;
        }
        // Blocks end anywhere: one piece at a time is as good as all.
        const auto written = write(batch_.pieces.front().bytes);
        if (written == -EINTR) continue;
        failing_ = written < 0 && written != -EAGAIN;
        if (written < 0) return static_cast<int>(-written);
        const auto position = batch_.position + static_cast<std::uint64_t>(written);
        queue.take(reader_, position);
        if (reader_ == Queue::Reader::client) queue.deliver(position);
        if (batch_.ends_at(position)) {
            failing_ = false;
            return 0;
        }
    }
    return EINTR;
}

}  // namespace asyncvm
