#include "trace/trace_file.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "text/errno_text.hpp"
#include "trace/json_format.hpp"
#include "trace/perfetto_format.hpp"

namespace asyncvm::trace {

namespace {

constexpr std::size_t block = 256 << 10;

std::uint64_t read_clock(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
}

std::unique_ptr<Format> make_format(TraceFormat format, std::string& out) {
    if (format == TraceFormat::json) return std::make_unique<JsonFormat>(out);
    return std::make_unique<PerfettoFormat>(out);
}

}  // namespace

TraceFile::TraceFile(std::string path, TraceFormat format, std::string_view process, const Names& names, Log log)
    : path_(std::move(path)), log_(std::move(log)), format_(make_format(format, out_)), timeline_(*format_, names) {
    // A pipe that nobody reads is an error, as a wrong path is, and no file keeps the program from its end.
    fd_ = UniqueFd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644));
    if (!fd_.valid()) throw Error(ErrorKind::host, fmt::format("cannot write the trace {}: {}", path_, reason(errno)));
    format_->begin({.boottime = now(), .monotonic = read_clock(CLOCK_MONOTONIC), .realtime = read_clock(CLOCK_REALTIME)},
                   ::getpid(), plain(process));
    write();
}

void TraceFile::add_source(unsigned cpu) { timeline_.add_source(cpu); }

void TraceFile::take(unsigned source, std::span<const Record> records) {
    if (counts_->failed) return;
    timeline_.take(source, records);
    counts_->records += records.size();
    if (out_.size() >= block) write();
}

void TraceFile::flush() { write(); }

void TraceFile::finish(std::uint64_t dropped) {
    ending_ = true;
    if (counts_->failed) return;
    timeline_.finish(now(), dropped);
    format_->end();
    write();
}

void TraceFile::write() {
    std::string_view rest = out_;
    while (!rest.empty() && !counts_->failed) {
        const auto written = ::write(fd_.get(), rest.data(), rest.size());
        if (written > 0) {
            rest.remove_prefix(static_cast<std::size_t>(written));
            counts_->bytes += static_cast<std::uint64_t>(written);
        } else if (errno == EAGAIN) {
            // Whoever reads the pipe is slow: the rings fill up, and count what they drop. At the end nobody waits for ever.
            if (!wait_until_writable() && ending_) fail(ETIMEDOUT);
        } else if (errno != EINTR) {
            fail(errno);
        }
    }
    out_.clear();
}

bool TraceFile::wait_until_writable() const {
    pollfd file{.fd = fd_.get(), .events = POLLOUT, .revents = 0};
    return ::poll(&file, 1, 1000) > 0;
}

void TraceFile::fail(int error) {
    counts_->failed = true;
    if (log_) log_(fmt::format("cannot write the trace {}: {} (it ends here; the guest goes on)", path_, reason(error)));
}

}  // namespace asyncvm::trace
