#include "block/snapshot.hpp"

#include <algorithm>
#include <utility>

namespace asyncvm::block {

namespace {

template <typename Spans>
std::uint64_t bytes_of(Spans spans) {
    std::uint64_t bytes = 0;
    for (const auto& span : spans) bytes += span.size();
    return bytes;
}

/// The next `size` bytes of `spans`, from byte `skipped` on.
std::vector<std::span<std::byte>> part_of(ReadSpans spans, std::uint64_t skipped, std::uint64_t size) {
    std::vector<std::span<std::byte>> part;
    for (auto span : spans) {
        const auto dropped = std::min<std::uint64_t>(skipped, span.size());
        skipped -= dropped;
        span = span.subspan(dropped);
        span = span.first(std::min<std::uint64_t>(size, span.size()));
        size -= span.size();
        if (!span.empty()) part.push_back(span);
    }
    return part;
}

bool is_whole(std::uint64_t offset, std::uint64_t size) noexcept { return (offset | size) % WrittenSectors::sector == 0; }

}  // namespace

void WrittenSectors::mark(std::uint64_t offset, std::uint64_t size) {
    std::uint64_t first = offset / sector;
    for (std::uint64_t left = size / sector; left != 0;) {
        const std::uint64_t bit = first % sectors_in_word;
        const std::uint64_t count = std::min(left, sectors_in_word - bit);
        const std::uint64_t ones = count == sectors_in_word ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
        words_[first / sectors_in_word] |= ones << bit;
        first += count;
        left -= count;
    }
}

WrittenSectors::Run WrittenSectors::run_at(std::uint64_t offset, std::uint64_t most) const {
    const auto bits_at = [this](std::uint64_t at) {
        const auto found = words_.find(at / sectors_in_word);
        return found == words_.end() ? std::uint64_t{0} : found->second;
    };
    const std::uint64_t first = offset / sector;
    const std::uint64_t end = first + most / sector;
    std::uint64_t at = first;
    std::uint64_t bits = bits_at(at);
    const bool written = (bits >> at % sectors_in_word & 1) != 0;
    while (at < end) {
        if (at % sectors_in_word == 0) bits = bits_at(at);
        if (((bits >> at % sectors_in_word & 1) != 0) != written) break;
        ++at;
    }
    return {(at - first) * sector, written};
}

SnapshotBackend::SnapshotBackend(std::shared_ptr<BlockBackend> base, std::shared_ptr<BlockBackend> over)
    : base_(std::move(base)), over_(std::move(over)), properties_(base_->properties()), from_base_(properties_.size) {
    properties_.read_only = false;
    properties_.description += ", as a snapshot: what the guest writes is gone at the end";
}

awaitable<std::error_code> SnapshotBackend::read(std::uint64_t offset, ReadSpans to) {
    const std::uint64_t size = bytes_of(to);
    if (!is_whole(offset, size) || offset > properties_.size || size > properties_.size - offset) {
        co_return std::make_error_code(std::errc::invalid_argument);
    }
    for (std::uint64_t done = 0; done < size;) {
        const std::uint64_t at = offset + done;
        const bool of_base = at < from_base_;
        const auto run = written_.run_at(at, of_base ? std::min(size - done, from_base_ - at) : size - done);
        const auto part = part_of(to, done, run.size);
        // Behind the base the other one has all that there is, and zeros.
        auto& source = run.written || !of_base ? *over_ : *base_;
        const auto error = co_await source.read(offset + done, part);
        if (error) co_return error;
        done += run.size;
    }
    co_return std::error_code();
}

awaitable<std::error_code> SnapshotBackend::write(std::uint64_t offset, WriteSpans from) {
    const std::uint64_t size = bytes_of(from);
    if (!is_whole(offset, size)) co_return std::make_error_code(std::errc::invalid_argument);
    const auto error = co_await over_->write(offset, from);
    // After the bytes are there: until then the old ones are read.
    if (!error) written_.mark(offset, size);
    co_return error;
}

awaitable<std::error_code> SnapshotBackend::flush() { co_return std::error_code(); }  // nothing outlives the process

awaitable<std::error_code> SnapshotBackend::discard(std::uint64_t, std::uint64_t) { co_return std::error_code(); }

awaitable<std::error_code> SnapshotBackend::write_zeroes(std::uint64_t offset, std::uint64_t size, bool may_unmap) {
    if (!is_whole(offset, size)) co_return std::make_error_code(std::errc::invalid_argument);
    const auto error = co_await over_->write_zeroes(offset, size, may_unmap);
    if (!error) written_.mark(offset, size);
    co_return error;
}

awaitable<void> SnapshotBackend::resize(std::uint64_t size) {
    co_await over_->resize(size);
    from_base_ = std::min(from_base_, size);
    properties_.size = size;
}

}  // namespace asyncvm::block
