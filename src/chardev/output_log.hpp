/// The output of one device as a stream of bytes with absolute positions. Pure: no locks, no loop.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

namespace asyncvm {

/// A byte lives from append() until it has been delivered and is no longer part of the history. Bytes lie in blocks that
/// never move and that a Batch keeps alive, so a sender may read them while more is appended, and even dropped, beside it.
///
///     start ...... delivered ...... position ...... end
///        history          in flight         unsent
///
/// Memory is bounded by `capacity` (unsent), what the reader has in flight, and `history`.
class OutputLog {
public:
    enum class Reader : std::uint8_t {
        client,  ///< the other end: takes bytes, and later reports which have arrived
        copy,    ///< the file that gets everything: the bytes that it takes have arrived
    };

    struct Options {
        std::uint64_t capacity = 1 << 20;
        std::uint64_t history = 0;
        bool drop = false;   ///< when it is full the oldest bytes go
        bool client = true;  ///< whether there is such a reader
        bool copy = false;
    };

    static constexpr std::size_t block_size = 4096;
    using Block = std::array<std::byte, block_size>;

    struct Piece {
        std::shared_ptr<const Block> owner;
        std::span<const std::byte> bytes;
    };

    /// What a reader may take next.
    struct Batch {
        std::uint64_t position = 0;  ///< of the first byte; beyond the last one taken if something was dropped
        std::size_t size = 0;
        std::vector<Piece> pieces;
        bool last = false;  ///< there was nothing behind it

        /// Whether a reader that has taken everything before `taken` has all there was. It rests then: a guest that prints
        /// meanwhile would make it send a few bytes at a time.
        [[nodiscard]] bool ends_at(std::uint64_t taken) const noexcept { return last && taken == position + size; }
    };

    explicit OutputLog(Options options);

    /// Takes as much from the start of `data` as there is room for; all of it with `drop`.
    std::size_t append(std::span<const std::byte> data);

    static constexpr std::uint64_t unlimited = ~std::uint64_t{0};

    /// How many bytes append() takes now; `unlimited` where nothing is kept, or the oldest bytes make room.
    [[nodiscard]] std::uint64_t room() const noexcept;

    /// As many bytes as a UART's driver sends without another look at the UART.
    static constexpr std::uint64_t burst = 16;

    /// Whether append() takes a whole burst (one byte, if the capacity is below two bursts). Once false, not before half of
    /// the capacity is free.
    [[nodiscard]] bool writable() const noexcept { return !low_; }

    /// Up to `limit` bytes and 64 pieces, without taking them. Reuses the memory of `batch`.
    void next(Reader reader, std::size_t limit, Batch& batch);

    /// The reader has taken everything before `position`.
    void take(Reader reader, std::uint64_t position);

    /// Everything before `position` has reached the client.
    void deliver(std::uint64_t position);

    /// Another client: it starts with the history, then what has not been delivered. Returns where that is.
    std::uint64_t rewind();

    /// The client will never take anything again: what it has not got is gone, and so is all that follows.
    void abandon_client();

    /// The client takes the last `count` of the bytes that have been delivered back, as far as they are still kept.
    void undeliver(std::uint64_t count);

    /// Other options, and another client, which starts with what has not been delivered; a copy that begins now starts with
    /// the next byte. Less capacity than is in use takes nothing away, unless `drop` does. A log without a client lets go
    /// what only that would have got.
    void reconfigure(Options options);

    /// Takes what `other`'s client has not got, also where there is no room for it; `other` has nothing left for it.
    void adopt(OutputLog& other);

    /// Where the reader's next byte is.
    [[nodiscard]] std::uint64_t position(Reader reader) const noexcept { return reader == Reader::client ? client_ : copy_; }
    [[nodiscard]] std::uint64_t end() const noexcept { return end_; }
    [[nodiscard]] std::uint64_t delivered() const noexcept { return delivered_; }

    /// Bytes that are here and have not reached `reader`.
    [[nodiscard]] std::uint64_t undelivered(Reader reader) const noexcept;

    /// Bytes that the client never got and never will: with `drop`, or abandoned.
    [[nodiscard]] std::uint64_t lost() const noexcept;

    /// Bytes of blocks in use.
    [[nodiscard]] std::size_t memory() const noexcept { return blocks_.size() * block_size; }

private:
    [[nodiscard]] bool has(Reader reader) const noexcept {
        return reader == Reader::client ? options_.client : options_.copy;
    }
    [[nodiscard]] std::uint64_t unsent_from() const noexcept;
    [[nodiscard]] std::uint64_t used() const noexcept;
    [[nodiscard]] std::uint64_t reserve() const noexcept;
    void copy_in(std::span<const std::byte> data);
    void note_lost();
    void restart();
    void settle();

    Options options_;
    std::deque<std::shared_ptr<Block>> blocks_;
    std::uint64_t first_block_ = 0;  ///< position of the first byte of blocks_.front()
    std::uint64_t start_ = 0;        ///< the oldest byte that is kept
    std::uint64_t end_ = 0;
    std::uint64_t client_ = 0;
    std::uint64_t delivered_ = 0;
    std::uint64_t copy_ = 0;
    std::uint64_t lost_ = 0;
    bool abandoned_ = false;
    bool stalled_ = false;  ///< append() takes nothing
    bool low_ = false;      ///< not writable()
};

}  // namespace asyncvm
