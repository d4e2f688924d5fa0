/// A ring of records between the thread that writes them down and the one that tells them.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "trace/record.hpp"

namespace asyncvm::trace {

/// One thread pushes, one takes; neither ever waits, and there are no locked instructions. When it is full, records are
/// dropped until half of it is free again; then comes a Record of Kind::lost with their number.
class RecordRing {
public:
    /// `capacity` is rounded up to a power of two, at least 4.
    explicit RecordRing(std::size_t capacity)
        : capacity_(std::bit_ceil(capacity < 4 ? 4 : capacity)),
          records_(std::make_unique_for_overwrite<Record[]>(capacity_)) {}
    RecordRing(const RecordRing&) = delete;
    RecordRing& operator=(const RecordRing&) = delete;

    /// Returns whether the other side should hurry: the ring has just become half full. `kept` tells whether there was room.
    bool push(const Record& record, bool& kept) noexcept {
        const auto head = head_.load(std::memory_order_relaxed);
        if (head - tail_seen_ >= limit_) [[unlikely]] {
            tail_seen_ = tail_.load(std::memory_order_acquire);
            if (head - tail_seen_ >= limit_) {
                limit_ = capacity_ / 2;
                dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
                kept = false;
                return false;
            }
            limit_ = capacity_ - 1;  // one place is for the record of what was lost
        }
        auto next = head;
        const auto told = told_.load(std::memory_order_relaxed);
        if (const auto dropped = dropped_.load(std::memory_order_relaxed); dropped != told) [[unlikely]] {
            Record lost;
            lost.time = record.time;
            lost.value = dropped - told;
            records_[next++ & (capacity_ - 1)] = lost;
            told_.store(dropped, std::memory_order_release);
        }
        records_[next++ & (capacity_ - 1)] = record;
        head_.store(next, std::memory_order_release);
        kept = true;
        return (head & ~(capacity_ / 2 - 1)) != (next & ~(capacity_ / 2 - 1));
    }

    /// What there is to take: at most two pieces, the older one first. They stay valid until release().
    [[nodiscard]] std::array<std::span<const Record>, 2> peek() const noexcept {
        const auto tail = tail_.load(std::memory_order_relaxed);
        const auto size = head_.load(std::memory_order_acquire) - tail;
        const auto first = tail & (capacity_ - 1);
        const auto straight = size < capacity_ - first ? size : capacity_ - first;
        return {std::span(&records_[first], straight), std::span(&records_[0], size - straight)};
    }
    /// The first `count` of them have been taken.
    void release(std::size_t count) noexcept {
        tail_.store(tail_.load(std::memory_order_relaxed) + count, std::memory_order_release);
    }

    /// Records that had no room, since the start. Any thread.
    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_.load(std::memory_order_relaxed); }
    /// Those of them that no record of Kind::lost tells: there has been no room since. Any thread.
    [[nodiscard]] std::uint64_t untold() const noexcept {
        const auto told = told_.load(std::memory_order_acquire);
        return dropped_.load(std::memory_order_relaxed) - told;
    }
    [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }

private:
    const std::size_t capacity_;
    const std::unique_ptr<Record[]> records_;  ///< untouched memory costs nothing
    // The pushing thread's.
    std::atomic<std::uint64_t> head_ = 0;
    std::uint64_t tail_seen_ = 0;
    std::uint64_t limit_ = capacity_ - 1;
    std::atomic<std::uint64_t> dropped_ = 0;
    std::atomic<std::uint64_t> told_ = 0;
    // The taking thread's.
    alignas(64) std::atomic<std::uint64_t> tail_ = 0;
};

}  // namespace asyncvm::trace
