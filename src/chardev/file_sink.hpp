/// A file that gets output: file:PATH, and the copy that log=FILE asks for.
#pragma once

#include <chardev/descriptor.hpp>
#include <chardev/queue.hpp>

#include <sys/types.h>
#include <compare>
#include <optional>
#include <string>

namespace asyncvm {

/// Owns the open file. All functions on the device loop.
///
/// A file is written at its end, wherever that is by then: several writers lose nothing, and a log that is cut short while
/// it is written (logrotate's copytruncate) goes on at its new end. It is emptied once, by the first one in the process that
/// opens it. A path that leads to a descriptor of this process (/dev/stdout, /dev/fd/3) means that descriptor with its
/// position, whatever it is; so does the path of a file that standard output or standard error already writes.
class FileSink {
public:
    /// Throws Error(host).
    FileSink(std::string path, bool append, Queue::Reader reader);
    ~FileSink() { close(); }
    FileSink(const FileSink&) = delete;
    FileSink& operator=(const FileSink&) = delete;

    /// Writes what the queue has for this reader. Returns 0 if nothing is left, EINTR if there is more but others should
    /// have their turn, else the errno that stopped it.
    int flush(Queue& queue);

    /// Writes what goes at once, and lets the file go.
    void close(Queue& queue) noexcept;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] Queue::Reader reader() const noexcept { return reader_; }
    /// Whether the last flush() failed for a reason that no reader can mend: a full disk, not a full pipe.
    [[nodiscard]] bool failing() const noexcept { return failing_; }

private:
    /// Device and inode: the same for all paths to one file.
    struct Identity {
        dev_t device;
        ino_t inode;
        auto operator<=>(const Identity&) const = default;
    };
    class OpenFiles;

    void open(bool append);
    void close() noexcept;
    void adopt(int fd);
    [[nodiscard]] long write(std::span<const std::byte> data) noexcept;

    std::string path_;
    Queue::Reader reader_;
    UniqueFd file_;                           ///< opened here
    std::optional<SharedDescriptor> shared_;  ///< or a descriptor of the process
    std::optional<Identity> registered_;
    OutputLog::Batch batch_;
    bool failing_ = false;
};

}  // namespace asyncvm
