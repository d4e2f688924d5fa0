#include "block/job.hpp"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <span>

namespace asyncvm::block {

namespace {

std::error_code last_error() noexcept { return {errno, std::generic_category()}; }

/// For O_DIRECT as well: aligned to a page.
alignas(4096) constexpr std::array<std::byte, 64 << 10> zeros{};

void move_bytes(Job& job) noexcept {
    while (job.left != 0) {
        const auto parts = job.next_parts();
        const auto count = static_cast<int>(parts.size());
        const auto offset = static_cast<off_t>(job.offset);
        const ssize_t moved = job.work == Job::Work::read ? ::preadv(job.fd, parts.data(), count, offset)
                                                          : ::pwritev(job.fd, parts.data(), count, offset);
        if (moved < 0 && errno == EINTR) continue;
        if (moved < 0) {
            job.error = last_error();
            return;
        }
        if (moved == 0) {
            // The file ends here: it has become shorter.
            job.error = std::make_error_code(std::errc::io_error);
            return;
        }
        job.advance(static_cast<std::uint64_t>(moved));
    }
}

void write_zeros(Job& job) noexcept {
    while (job.left != 0) {
        const auto count = std::min<std::uint64_t>(job.left, zeros.size());
        const ssize_t written = ::pwrite(job.fd, zeros.data(), count, static_cast<off_t>(job.offset));
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            job.error = written < 0 ? last_error() : std::make_error_code(std::errc::io_error);
            return;
        }
        job.offset += static_cast<std::uint64_t>(written);
        job.left -= static_cast<std::uint64_t>(written);
    }
}

void resize_file(Job& job) noexcept {
    int result = 0;
    do {
        result = ::ftruncate(job.fd, static_cast<off_t>(job.offset));
    } while (result != 0 && errno == EINTR);
    if (result != 0) job.error = last_error();
}

/// Returns whether the file system or the block device could. EINVAL: the range, which is inside of the disk, is no multiple
/// of the device's blocks.
bool allocate(Job& job, int mode) noexcept {
    int result = 0;
    do {
        result = ::fallocate(job.fd, mode, static_cast<off_t>(job.offset), static_cast<off_t>(job.left));
    } while (result != 0 && errno == EINTR);
    if (result == 0) return true;
    if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV || errno == EINVAL) return false;
    job.error = last_error();
    return true;
}

}  // namespace

void Job::advance(std::uint64_t count) noexcept {
    offset += count;
    left -= count;
    while (first < parts.size() && count >= parts[first].iov_len) count -= parts[first++].iov_len;
    if (count == 0) return;
    parts[first].iov_base = static_cast<std::byte*>(parts[first].iov_base) + count;
    parts[first].iov_len -= count;
}

std::span<iovec> Job::next_parts() noexcept {
    const auto rest = std::span(parts).subspan(first);
    return rest.first(std::min<std::size_t>(rest.size(), IOV_MAX));
}

void perform(Job& job) noexcept {
    constexpr int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    constexpr int zero = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
    switch (job.work) {
        case Job::Work::read:
        case Job::Work::write:
            return move_bytes(job);
        case Job::Work::flush:
            if (::fdatasync(job.fd) != 0) job.error = last_error();
            return;
        case Job::Work::discard:
            static_cast<void>(allocate(job, punch));
            return;
        case Job::Work::zero:
            if (!allocate(job, zero)) write_zeros(job);
            return;
        case Job::Work::zero_and_unmap:
            if (!allocate(job, punch)) write_zeros(job);
            return;
        case Job::Work::resize:
            return resize_file(job);
    }
}

bool perform_now(Job& job, bool& supported) noexcept {
    const auto parts = job.next_parts();
    if (parts.size() != job.parts.size()) return false;
    const auto count = static_cast<int>(parts.size());
    const auto offset = static_cast<off_t>(job.offset);
    const ssize_t moved = job.work == Job::Work::read ? ::preadv2(job.fd, parts.data(), count, offset, RWF_NOWAIT)
                                                      : ::pwritev2(job.fd, parts.data(), count, offset, RWF_NOWAIT);
    if (moved >= 0 && static_cast<std::uint64_t>(moved) == job.left) {
        job.left = 0;
        return true;
    }
    if (moved < 0 && errno != EAGAIN && errno != EINTR)
        supported = errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL;
    return false;
}

}  // namespace asyncvm::block
