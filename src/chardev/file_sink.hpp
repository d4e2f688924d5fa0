/// A file that gets output: file:PATH, and the copy that log=FILE asks for.
#pragma once

#include <chardev/descriptor.hpp>
#include <chardev/queue.hpp>

#include <string>

namespace asyncvm {

/// Owns the open file; all functions on the device loop.
class FileSink {
public:
    /// Truncates, or appends. Throws Error(host).
    FileSink(std::string path, bool append, Queue::Reader reader);

    /// Writes what the queue has for this reader. Returns 0 when nothing is left, EINTR when there is more but others should
    /// have their turn, else the errno that stopped it.
    int flush(Queue& queue);

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] Queue::Reader reader() const noexcept { return reader_; }

private:
    std::string path_;
    Queue::Reader reader_;
    UniqueFd file_;
    OutputLog::Batch batch_;
};

}  // namespace asyncvm
