/// The file of a recording while it grows.
#pragma once

#include "os/unique_fd.hpp"
#include "record/recording.hpp"

#include <asyncvm/device_context.hpp>
#include <asyncvm/log.hpp>

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace asyncvm::record {

/// Each line is with the kernel before what it tells of goes on: nothing is lost when the guest crashes, nor when this
/// process does. All functions but open() on any thread.
class Journal {
public:
    explicit Journal(std::string path) : path_(std::move(path)) {}

    /// Makes the file, or empties it, and writes the header. Before the first event. Throws Error(host).
    void open(const Header& header, const MachineClock& clock, Log log);

    /// Adds a line with the time of now. Where the file takes no more it ends with the last whole line, which is logged
    /// once, and all further events are dropped.
    void add(Event event) noexcept;

    /// The recording is over.
    void close() noexcept;

private:
    void write(std::string_view line);

    const std::string path_;
    std::mutex mutex_;
    UniqueFd file_;
    std::uint64_t size_ = 0;  ///< bytes of whole lines
    const MachineClock* clock_ = nullptr;
    MachineClock::time_point start_{};
    Log log_;
};

}  // namespace asyncvm::record
