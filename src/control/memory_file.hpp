/// The file that memory is saved to.
#pragma once

#include "control/json.hpp"
#include "os/unique_fd.hpp"
#include "text/errno_text.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

namespace asyncvm::control {

/// Made anew, or emptied. What was written stays if something fails. Throws CommandError.
class MemoryFile {
public:
    explicit MemoryFile(std::string path)
        : path_(std::move(path)),
          fd_(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0600)) {
        if (!fd_.valid()) throw CommandError(fmt::format("Could not open '{}': {}", path_, reason(errno)));
    }

    void write(std::span<const std::byte> bytes) {
        while (!bytes.empty()) {
            const auto put = ::write(fd_.get(), bytes.data(), bytes.size());
            if (put < 0 && errno == EINTR) continue;
            if (put <= 0) fail(put == 0 ? ENOSPC : errno);
            bytes = bytes.subspan(static_cast<std::size_t>(put));
        }
    }

    /// What only closing tells of a full disk is told too.
    void close() {
        if (::close(fd_.release()) != 0) fail(errno);
    }

private:
    [[noreturn]] void fail(int error) const {
        throw CommandError(fmt::format("cannot write '{}': {}", path_, reason(error)));
    }

    std::string path_;
    UniqueFd fd_;
};

}  // namespace asyncvm::control
