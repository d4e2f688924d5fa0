#include <chardev/output_log.hpp>

#include <algorithm>
#include <cstring>

namespace asyncvm {

OutputLog::OutputLog(Options options) : options_(options) {}

std::uint64_t OutputLog::unsent_from() const noexcept { return std::max(client_, delivered_); }

std::uint64_t OutputLog::used() const noexcept {
    std::uint64_t most = 0;
    if (options_.client) most = end_ - std::min(end_, unsent_from());
    if (options_.copy) most = std::max(most, end_ - copy_);
    return most;
}

/// A log that is too small for it has none but for the one byte that makes it full.
std::uint64_t OutputLog::reserve() const noexcept { return options_.capacity < 2 * burst ? 1 : burst; }

std::uint64_t OutputLog::room() const noexcept {
    if (options_.drop || (!options_.client && !options_.copy)) return unlimited;
    return stalled_ ? 0 : options_.capacity - std::min(options_.capacity, used());
}

std::size_t OutputLog::append(std::span<const std::byte> data) {
    if (!options_.client && !options_.copy) {
        if (abandoned_) lost_ += data.size();
        return data.size();
    }
    if (options_.drop) {
        if (abandoned_) lost_ += data.size();
        for (auto rest = data; !rest.empty();) {
            const auto part = rest.first(std::min<std::uint64_t>(rest.size(), options_.capacity));
            copy_in(part);
            settle();
            rest = rest.subspan(part.size());
        }
        return data.size();
    }
    const auto free = room();
    const auto part = data.first(std::min<std::uint64_t>(data.size(), free));
    copy_in(part);
    if (abandoned_) lost_ += part.size();
    stalled_ = part.size() == free;
    if (free - part.size() < reserve()) low_ = true;
    return part.size();
}

void OutputLog::copy_in(std::span<const std::byte> data) {
    while (!data.empty()) {
        const auto offset = end_ % block_size;
        if (offset == 0 || blocks_.empty()) {
            if (blocks_.empty()) first_block_ = end_ - offset;
            blocks_.push_back(std::make_shared_for_overwrite<Block>());
        }
        const auto part = std::min(data.size(), block_size - offset);
        std::memcpy(blocks_.back()->data() + offset, data.data(), part);
        end_ += part;
        data = data.subspan(part);
    }
}

void OutputLog::note_lost() {
    if (!options_.client) return;
    const auto from = unsent_from();
    if (start_ > from) lost_ += start_ - from;
    client_ = std::max(client_, start_);
}

void OutputLog::next(Reader reader, std::size_t limit, Batch& batch) {
    constexpr std::size_t most_pieces = 64;
    batch.pieces.clear();
    batch.size = 0;
    batch.last = true;
    if (reader == Reader::client) note_lost();
    if (reader == Reader::copy) copy_ = std::max(copy_, start_);
    batch.position = position(reader);
    if (!has(reader)) return;
    auto at = batch.position;
    while (at < end_ && batch.size < limit && batch.pieces.size() < most_pieces) {
        const auto& block = blocks_[(at - first_block_) / block_size];
        const auto offset = at % block_size;
        const auto part = std::min({block_size - offset, static_cast<std::size_t>(end_ - at), limit - batch.size});
        batch.pieces.push_back({block, std::span(*block).subspan(offset, part)});
        batch.size += part;
        at += part;
    }
    batch.last = at >= end_;
}

void OutputLog::take(Reader reader, std::uint64_t position) {
    auto& mine = reader == Reader::client ? client_ : copy_;
    mine = std::max(mine, position);
    settle();
}

void OutputLog::deliver(std::uint64_t position) {
    delivered_ = std::max(delivered_, position);
    settle();
}

std::uint64_t OutputLog::rewind() {
    client_ = std::max(start_, delivered_ - std::min(delivered_, options_.history));
    // What the client before had in flight may have been dropped here: its fate is known now.
    if (start_ > delivered_) {
        lost_ += start_ - delivered_;
        delivered_ = start_;
    }
    return client_;
}

/// The next client gets no history.
void OutputLog::restart() {
    (void)rewind();
    client_ = delivered_;
}

void OutputLog::undeliver(std::uint64_t count) {
    delivered_ -= std::min(count, delivered_ - std::min(delivered_, start_));
    client_ = delivered_;
}

void OutputLog::reconfigure(Options options) {
    if (options_.client) restart();
    // What nobody was to get is not for a client that comes later.
    if (!options_.client || !options.client) client_ = delivered_ = end_;
    if (!options_.copy) copy_ = end_;
    options_ = options;
    abandoned_ = false;
    stalled_ = low_ = false;
    settle();
    const auto free = room();
    stalled_ = free == 0;
    low_ = free < reserve();
}

void OutputLog::adopt(OutputLog& other) {
    other.restart();
    Batch batch;
    for (;;) {
        other.next(Reader::client, block_size, batch);
        if (batch.size == 0) break;
        for (const auto& piece : batch.pieces) {
            if (options_.client || options_.copy) copy_in(piece.bytes);
        }
        other.take(Reader::client, batch.position + batch.size);
        other.deliver(batch.position + batch.size);
    }
    settle();
    const auto free = room();
    stalled_ = free == 0;
    low_ = low_ || free < reserve();
}

void OutputLog::abandon_client() {
    if (abandoned_) return;
    note_lost();
    lost_ += end_ - std::min(end_, unsent_from());
    abandoned_ = true;
    options_.client = false;
    settle();
}

std::uint64_t OutputLog::undelivered(Reader reader) const noexcept {
    if (!has(reader)) return 0;
    return end_ - std::max(reader == Reader::client ? delivered_ : copy_, start_);
}

std::uint64_t OutputLog::lost() const noexcept {
    const auto from = unsent_from();
    return lost_ + (options_.client && start_ > from ? start_ - from : 0);
}

/// Frees what nobody needs any more, and ends a stall.
void OutputLog::settle() {
    auto keep = end_;
    if (options_.client) keep = std::min(keep, delivered_ - std::min(delivered_, options_.history));
    if (options_.copy) keep = std::min(keep, copy_);
    if (options_.drop && used() > options_.capacity) keep = std::max(keep, end_ - options_.capacity);
    start_ = std::max(start_, keep);
    while (!blocks_.empty() && first_block_ + block_size <= start_) {
        blocks_.pop_front();
        first_block_ += block_size;
    }
    if (low_ && used() <= options_.capacity / 2) stalled_ = low_ = false;
}

}  // namespace asyncvm
