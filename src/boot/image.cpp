#include "boot/image.hpp"

#include "os/unique_fd.hpp"
#include "text/errno_text.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <list>

namespace asyncvm::boot {

namespace {

[[noreturn]] void cannot(const char* what, const std::string& name, const std::string& why) {
    throw Error(ErrorKind::guest_image, fmt::format("cannot {} {}: {}", what, name, why));
}

class MemoryImage final : public Image {
public:
    MemoryImage(std::string name, std::vector<std::byte> owned, std::span<const std::byte> bytes)
        : Image(std::move(name), bytes.size()), owned_(std::move(owned)), bytes_(bytes) {}

    [[nodiscard]] std::span<const std::byte> view(std::uint64_t offset, std::uint64_t size) const override {
        if (offset >= bytes_.size()) return {};
        return bytes_.subspan(offset, std::min<std::uint64_t>(size, bytes_.size() - offset));
    }

    void read(std::uint64_t offset, std::span<std::byte> to) const override {
        const auto from = view(offset, to.size());
        if (from.size() < to.size()) cannot("read", name(), fmt::format("it ends after {} bytes", size()));
        std::ranges::copy(from, to.begin());
    }

private:
    std::vector<std::byte> owned_;
    std::span<const std::byte> bytes_;
};

/// A regular file. It is not mapped: one that shrinks under a mapping ends the process.
class FileImage final : public Image {
public:
    FileImage(std::string name, std::uint64_t size, UniqueFd file) : Image(std::move(name), size), file_(std::move(file)) {}

    [[nodiscard]] std::span<const std::byte> view(std::uint64_t offset, std::uint64_t size) const override {
        if (offset >= this->size()) return {};
        size = std::min(size, this->size() - offset);
        for (const Kept& kept : kept_) {
            if (offset >= kept.offset && offset - kept.offset <= kept.bytes.size() &&
                size <= kept.bytes.size() - (offset - kept.offset)) {
                return std::span(kept.bytes).subspan(offset - kept.offset, size);
            }
        }
        std::vector<std::byte> bytes(size);
        read(offset, bytes);
        return kept_.emplace_front(Kept{offset, std::move(bytes)}).bytes;
    }

    void read(std::uint64_t offset, std::span<std::byte> to) const override {
        while (!to.empty()) {
            const ssize_t count = ::pread(file_.get(), to.data(), to.size(), static_cast<off_t>(offset));
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) cannot("read", name(), reason(errno));
            if (count == 0) cannot("read", name(), fmt::format("it ends after {} bytes", offset));
            offset += static_cast<std::uint64_t>(count);
            to = to.subspan(static_cast<std::size_t>(count));
        }
    }

private:
    struct Kept {
        std::uint64_t offset;
        std::vector<std::byte> bytes;
    };

    UniqueFd file_;
    mutable std::list<Kept> kept_;
};

std::size_t read_some(int fd, std::span<std::byte> to, const std::string& name) {
    for (;;) {
        const ssize_t count = ::read(fd, to.data(), to.size());
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno == EAGAIN) {
            // A standard input that another process has made non-blocking.
            pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            cannot("read", name, reason(errno));
        }
    }
}

[[noreturn]] void too_large(const std::string& name, const std::string& size, std::uint64_t most) {
    throw Error(ErrorKind::guest_image,
                fmt::format("{} has {} bytes, but the guest's memory has only {} (raise --memory)", name, size, most));
}

std::vector<std::byte> read_to_end(int fd, const std::string& name, std::uint64_t most) {
    constexpr std::size_t step = 1 << 20;
    std::vector<std::byte> bytes;
    std::size_t size = 0;
    for (;;) {
        bytes.resize(size + step);
        const std::size_t count = read_some(fd, std::span(bytes).subspan(size), name);
        size += count;
        if (size > most) too_large(name, fmt::format("more than {}", most), most);
        if (count == 0) break;
    }
    bytes.resize(size);
    return bytes;
}

UniqueFd open_file(const std::string& path) {
    int fd = -1;
    do fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    if (fd < 0) cannot("open", path, reason(errno));
    return UniqueFd(fd);
}

}  // namespace

std::string image_name(const std::string& path) { return path == "-" ? "the standard input" : path; }

ImagePtr memory_image(std::string name, std::vector<std::byte> bytes) {
    const std::span<const std::byte> all = bytes;
    return std::make_shared<MemoryImage>(std::move(name), std::move(bytes), all);
}

ImagePtr borrowed_image(std::string name, std::span<const std::byte> bytes) {
    return std::make_shared<MemoryImage>(std::move(name), std::vector<std::byte>(), bytes);
}

ImagePtr open_image(const std::string& path, std::uint64_t most) {
    const std::string name = image_name(path);
    UniqueFd file = path == "-" ? UniqueFd() : open_file(path);
    const int fd = path == "-" ? STDIN_FILENO : file.get();
    struct stat status {};
    if (::fstat(fd, &status) != 0) cannot("read", name, reason(errno));
    if (S_ISDIR(status.st_mode)) cannot("read", name, "it is a directory, not a guest's file");
    if (::isatty(fd) == 1) cannot("read", name, "it is a terminal (name a file, or send one through a pipe)");
    ImagePtr image;
    // Files in /proc and /sys have more bytes than their size says; the standard input may be in the middle of its file.
    if (S_ISREG(status.st_mode) && status.st_size != 0 && path != "-") {
        image = std::make_shared<FileImage>(name, static_cast<std::uint64_t>(status.st_size), std::move(file));
    } else {
        image = memory_image(name, read_to_end(fd, name, most));
    }
    if (image->size() == 0) throw Error(ErrorKind::guest_image, fmt::format("{} is empty: there is no guest in it", name));
    if (image->size() > most) too_large(name, fmt::to_string(image->size()), most);
    return image;
}

}  // namespace asyncvm::boot
