/// From bytes on the wire back to bytes of the guest. Pure.
#pragma once

#include <cstdint>
#include <deque>

namespace asyncvm {

/// What was sent in one connection, as runs: bytes sent as they are, bytes that take two on the wire (telnet's 255), bytes
/// of the protocol alone, and bytes that were skipped (dropped before they could be sent). Tells which of the guest's bytes
/// have arrived when so many of the wire's have.
class WireMap {
public:
    /// The first byte on the wire will be the guest's byte `position`.
    explicit WireMap(std::uint64_t position) noexcept : guest_(position), guest_end_(position) {}

    void plain(std::uint64_t count) { add(count, count); }
    void doubled(std::uint64_t count) { add(2 * count, count); }
    void inserted(std::uint64_t count) { add(count, 0); }
    void skipped(std::uint64_t count) { add(0, count); }

    /// Bytes put on the wire so far.
    [[nodiscard]] std::uint64_t sent() const noexcept { return wire_end_; }
    /// The guest's byte that comes next.
    [[nodiscard]] std::uint64_t position() const noexcept { return guest_end_; }

    /// `wire` bytes have arrived, at most sent(). Returns the position before which every byte of the guest has arrived.
    std::uint64_t acknowledge(std::uint64_t wire);

private:
    struct Run {
        std::uint64_t wire;
        std::uint64_t guest;
    };
    void add(std::uint64_t wire, std::uint64_t guest);

    std::deque<Run> runs_;
    std::uint64_t wire_ = 0;  ///< where runs_.front() begins
    std::uint64_t guest_;
    std::uint64_t wire_end_ = 0;
    std::uint64_t guest_end_;
};

}  // namespace asyncvm
