#include "block/file_backend.hpp"

#include "block/file_lock.hpp"
#include "block/thread_pool.hpp"
#include "block/uring.hpp"

#include <asyncvm/error.hpp>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace asyncvm::block {

namespace {

/// More than this is a copy that would keep the loop from other devices.
constexpr std::uint64_t most_at_once = 128 << 10;

std::string_view operation_of(Job::Work work) noexcept {
    switch (work) {
        case Job::Work::read:
            return "a read";
        case Job::Work::write:
            return "a write";
        case Job::Work::flush:
            return "a flush";
        case Job::Work::discard:
            return "a discard";
        default:
            return "a write of zeros";
    }
}

std::string size_text(std::uint64_t size) {
    return size % (1 << 20) == 0 ? fmt::format("{} MiB", size >> 20) : fmt::format("{} KiB", size >> 10);
}

template <typename Spans>
std::shared_ptr<Job> transfer_job(Job::Work work, int fd, std::uint64_t offset, Spans spans) {
    auto job = std::make_shared<Job>(work, fd, offset, 0);
    job->parts.reserve(spans.size());
    for (const auto& span : spans) {
        if (span.empty()) continue;
        job->parts.push_back({const_cast<std::byte*>(span.data()), span.size()});
        job->left += span.size();
    }
    return job;
}

}  // namespace

FileBackend::FileBackend(DiskFile file, asio::io_context& loop, Log log, Engines engines)
    : file_(std::move(file)),
      errors_(std::move(log), file_.name),
      reads_now_(!file_.direct),
      writes_now_(!file_.direct),
      pool_(std::make_shared<Runner>(loop, std::make_unique<ThreadPool>())) {
    std::string how = "by threads";
    if (engines == Engines::automatic) {
        std::string why;
        if (auto ring = make_uring(why)) {
            ring_ = std::make_shared<Runner>(loop, std::move(ring));
            how = "by io_uring";
        } else {
            how = fmt::format("by threads ({})", why);
        }
    }
    properties_ = {
        .size = file_.size,
        .read_only = file_.read_only,
        .block_size = file_.block_size,
        .description = fmt::format("{}, {}{}{}, {}", file_.name, size_text(file_.size), file_.read_only ? ", read-only" : "",
                                   file_.direct ? ", past the page cache" : "", how)};
}

std::error_code FileBackend::refusal(Job::Work work, std::uint64_t offset, std::uint64_t size) const noexcept {
    if (work != Job::Work::read && file_.read_only) return std::make_error_code(std::errc::read_only_file_system);
    return outside(offset, size, file_.size);
}

bool FileBackend::is_aligned(const Job& job) const noexcept {
    return std::ranges::all_of(job.parts, [this](const iovec& part) {
        return (reinterpret_cast<std::uintptr_t>(part.iov_base) | part.iov_len) % file_.memory_alignment == 0;
    });
}

awaitable<std::error_code> FileBackend::run(std::shared_ptr<Job> job) {
    bool started = false;
    if (ring_) started = co_await ring_->run(job);
    const bool rest = !job->error && (!started || job->left != 0);
    if (rest) {
        // A OneShot completes once.
        auto again = std::make_shared<Job>(job->work, job->fd, job->offset, job->left);
        again->parts = std::move(job->parts);
        again->first = job->first;
        job = std::move(again);
        co_await pool_->run(job);
    }
    errors_.note(operation_of(job->work), job->error);
    co_return job->error;
}

/// O_DIRECT with memory that is not aligned for it: by a copy that is.
awaitable<std::error_code> FileBackend::run_copied(std::shared_ptr<Job> job) {
    struct Free {
        void operator()(void* memory) const noexcept { std::free(memory); }
    };
    constexpr std::size_t page = 4096;
    const std::size_t size = job->left;
    const std::unique_ptr<void, Free> copy(std::aligned_alloc(page, (size + page - 1) / page * page));
    if (!copy) co_return std::make_error_code(std::errc::not_enough_memory);
    const auto bytes = static_cast<std::byte*>(copy.get());
    const auto each_part = [&job, bytes](auto&& move) {
        std::size_t at = 0;
        for (const iovec& part : job->parts) {
            move(bytes + at, static_cast<std::byte*>(part.iov_base), part.iov_len);
            at += part.iov_len;
        }
    };
    if (job->work == Job::Work::write) {
        each_part([](std::byte* copied, const std::byte* part, std::size_t count) { std::memcpy(copied, part, count); });
    }
    auto aligned = std::make_shared<Job>(job->work, job->fd, job->offset, size);
    aligned->parts.push_back({bytes, size});
    const auto error = co_await run(std::move(aligned));
    if (!error && job->work == Job::Work::read) {
        each_part([](const std::byte* copied, std::byte* part, std::size_t count) { std::memcpy(part, copied, count); });
    }
    co_return error;
}

awaitable<std::error_code> FileBackend::read(std::uint64_t offset, ReadSpans to) {
    auto job = transfer_job(Job::Work::read, file_.fd.get(), offset, to);
    if (const auto refused = refusal(job->work, offset, job->left); refused || job->left == 0) co_return refused;
    if (reads_now_ && job->left <= most_at_once && perform_now(*job, reads_now_)) co_return std::error_code();
    if (file_.direct && !is_aligned(*job)) {
        const auto error = co_await run_copied(std::move(job));
        co_return error;
    }
    const auto error = co_await run(std::move(job));
    co_return error;
}

awaitable<std::error_code> FileBackend::write(std::uint64_t offset, WriteSpans from) {
    auto job = transfer_job(Job::Work::write, file_.fd.get(), offset, from);
    if (const auto refused = refusal(job->work, offset, job->left); refused || job->left == 0) co_return refused;
    if (writes_now_ && job->left <= most_at_once && perform_now(*job, writes_now_)) co_return std::error_code();
    if (file_.direct && !is_aligned(*job)) {
        const auto error = co_await run_copied(std::move(job));
        co_return error;
    }
    const auto error = co_await run(std::move(job));
    co_return error;
}

awaitable<std::error_code> FileBackend::flush() {
    if (file_.read_only) co_return std::error_code();
    auto job = std::make_shared<Job>(Job::Work::flush, file_.fd.get(), 0, 1);
    const auto error = co_await run(std::move(job));
    co_return error;
}

awaitable<std::error_code> FileBackend::run_on_range(Job::Work work, std::uint64_t offset, std::uint64_t size) {
    if (const auto refused = refusal(work, offset, size); refused || size == 0) co_return refused;
    auto job = std::make_shared<Job>(work, file_.fd.get(), offset, size);
    const auto error = co_await run(std::move(job));
    co_return error;
}

awaitable<std::error_code> FileBackend::discard(std::uint64_t offset, std::uint64_t size) {
    const auto error = co_await run_on_range(Job::Work::discard, offset, size);
    co_return error;
}

awaitable<std::error_code> FileBackend::write_zeroes(std::uint64_t offset, std::uint64_t size, bool may_unmap) {
    const auto work = may_unmap ? Job::Work::zero_and_unmap : Job::Work::zero;
    const auto error = co_await run_on_range(work, offset, size);
    co_return error;
}

awaitable<void> FileBackend::resize(std::uint64_t size) {
    if (!file_.device) {
        co_await resize_file(size);
        file_.size = size;
    } else {
        DiskFile now{
            .fd = UniqueFd(::fcntl(file_.fd.get(), F_DUPFD_CLOEXEC, 0)), .name = file_.name, .read_only = file_.read_only};
        measure_device(now);
        if (size > now.size) throw Error(ErrorKind::host, "Cannot grow device files");
        file_.size = now.size;
    }
    properties_.size = file_.size;
}

awaitable<void> FileBackend::resize_file(std::uint64_t size) {
    const int fd = file_.fd.get();
    if (const auto user = lock_size(fd); !user.empty()) {
        throw Error(ErrorKind::host, fmt::format("Could not resize file: {}", user));
    }
    struct Unlock {
        explicit Unlock(int descriptor) : fd(descriptor) {}
        Unlock(const Unlock&) = delete;
        Unlock& operator=(const Unlock&) = delete;
        ~Unlock() { unlock_size(fd); }
        const int fd;
    } const unlock(fd);
    const auto job = std::make_shared<Job>(Job::Work::resize, fd, size, 0);
    co_await pool_->run(job);
    if (job->error) throw Error(ErrorKind::host, "Could not resize file: " + job->error.message());
}

std::optional<std::uint64_t> FileBackend::allocated() const {
    constexpr std::uint64_t unit = 512;
    struct stat status {};
    if (file_.device || ::fstat(file_.fd.get(), &status) != 0) return std::nullopt;
    return static_cast<std::uint64_t>(status.st_blocks) * unit;
}

}  // namespace asyncvm::block
