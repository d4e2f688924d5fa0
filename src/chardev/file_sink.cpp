#include <fmt/format.h>
#include <asyncvm/error.hpp>
#include <chardev/file_sink.hpp>

#include <fcntl.h>
#include <cerrno>

namespace asyncvm {

FileSink::FileSink(std::string path, bool append, Queue::Reader reader) : path_(std::move(path)), reader_(reader) {
    // O_NONBLOCK: a FIFO that nobody reads must not hang the start.
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (append ? O_APPEND : O_TRUNC);
    file_ = UniqueFd(::open(path_.c_str(), flags, 0666));
    if (!file_.valid()) {
        const int error = errno;
        throw Error(ErrorKind::host,
                    error == ENXIO ? fmt::format("cannot open {}: nobody reads this pipe (start its reader first)", path_)
                                   : fmt::format("cannot open {} for writing: {}", path_, reason(error)));
    }
}

int FileSink::flush(Queue& queue) {
    constexpr int turns = 1024;  // a fast writer must not keep the loop for itself
    for (int turn = 0; turn < turns; ++turn) {
        queue.next(reader_, OutputLog::block_size, batch_);
        if (batch_.size == 0) return 0;
        // Blocks end where they like: one piece at a time is as good as all.
        const auto written = write_quietly(file_.get(), batch_.pieces.front().bytes);
        if (written == -EINTR) continue;
        if (written < 0) return static_cast<int>(-written);
        const auto position = batch_.position + static_cast<std::uint64_t>(written);
        queue.take(reader_, position);
        if (reader_ == Queue::Reader::client) queue.deliver(position);
    }
    return EINTR;
}

}  // namespace asyncvm
