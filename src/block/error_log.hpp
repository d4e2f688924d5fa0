/// What goes wrong with a disk, as one line for each kind of it.
#pragma once

#include <asyncvm/log.hpp>

#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace asyncvm::block {

/// A disk that fails fails thousands of times: each combination of operation and error is said once.
class ErrorLog {
public:
    ErrorLog(Log log, std::string disk) : log_(std::move(log)), disk_(std::move(disk)) {}

    /// `operation`: "a read", "a flush". Does nothing without an error.
    void note(std::string_view operation, std::error_code error);
    /// A line of its own.
    void say(std::string_view text) const;
    /// Errors that have been said may be said again.
    void forget() noexcept { said_.clear(); }

private:
    Log log_;
    std::string disk_;
    std::set<std::pair<std::string, int>> said_;
};

/// Pure: EINVAL unless [offset, offset + size) is on a disk of `disk_size` bytes.
[[nodiscard]] std::error_code outside(std::uint64_t offset, std::uint64_t size, std::uint64_t disk_size) noexcept;

}  // namespace asyncvm::block
