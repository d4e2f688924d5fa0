#include "vmcore/core_file.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "text/errno_text.hpp"
#include "vmcore/layout.hpp"

namespace asyncvm::vmcore {

namespace {

[[noreturn]] void refuse(const std::string& path, std::string_view why) {
    throw Error(ErrorKind::host, fmt::format("cannot write the core {}: {}", path, why));
}

std::string directory_of(const std::string& path) {
    const auto parent = std::filesystem::path(path).parent_path().string();
    return parent.empty() ? "." : parent;
}

/// Where a link leads to; the path itself if it is none.
std::string behind_links(const std::string& path) {
    std::error_code error;
    if (!std::filesystem::is_symlink(std::filesystem::symlink_status(path, error))) return path;
    const auto target = std::filesystem::canonical(path, error);
    return error ? path : target.string();
}

bool is_zero(std::span<const std::byte> page) {
    return page[0] == std::byte{} && std::memcmp(page.data(), page.data() + 1, page.size() - 1) == 0;
}

}  // namespace

void CoreFile::check(const std::string& path) {
    struct stat status {};
    if (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
        refuse(path, S_ISDIR(status.st_mode) ? "it is a directory" : "it is no regular file");
    }
    const auto directory = directory_of(behind_links(path));
    if (::access(directory.c_str(), W_OK | X_OK) != 0) refuse(path, fmt::format("{}: {}", directory, reason(errno)));
}

CoreFile::CoreFile(const std::string& path) : path_(behind_links(path)), temporary_(path_ + ".XXXXXX") {
    check(path);
    fd_ = UniqueFd(::mkostemp(temporary_.data(), O_CLOEXEC));  // 0600
    if (!fd_.valid()) fail(errno);
}

CoreFile::~CoreFile() {
    if (fd_.valid()) ::unlink(temporary_.c_str());
}

void CoreFile::fail(int error) const {
    const char* const advice =
        error == ENOSPC || error == EDQUOT ? " (it takes as much room as the guest has used memory)" : "";
    refuse(path_, reason(error) + advice);
}

void CoreFile::put(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const auto written = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) fail(written == 0 ? ENOSPC : errno);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
        offset += static_cast<std::uint64_t>(written);
    }
}

void CoreFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
    const auto next = [&bytes](std::size_t from, bool zeros) {
        for (; from < bytes.size(); from += page_size) {
            if (is_zero(bytes.subspan(from, std::min(page_size, bytes.size() - from))) == zeros) return from;
        }
        return bytes.size();
    };
    for (std::size_t at = next(0, false); at < bytes.size();) {
        const auto end = next(at, true);
        put(offset + at, bytes.subspan(at, end - at));
        at = next(end, false);
    }
}

void CoreFile::complete(std::uint64_t size) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) fail(errno);
    // What only closing tells of a full disk is told too.
    if (::close(fd_.release()) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
        const int error = errno;
        ::unlink(temporary_.c_str());
        fail(error);
    }
}

}  // namespace asyncvm::vmcore
