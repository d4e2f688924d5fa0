/// A disk whose image stays as it is: what the guest writes goes elsewhere.
#pragma once

#include <asyncvm/block.hpp>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace asyncvm::block {

/// Which sectors of a disk have been written. Pure. Memory grows with the places that are written: 16 bytes and a node of a
/// hash table for 64 KiB.
class WrittenSectors {
public:
    static constexpr std::uint64_t sector = 512;

    struct Run {
        std::uint64_t size;  ///< bytes
        bool written;
    };

    /// In bytes, multiples of a sector.
    void mark(std::uint64_t offset, std::uint64_t size);
    /// The longest run from `offset` on, `most` bytes at most, that is written as a whole or not at all.
    [[nodiscard]] Run run_at(std::uint64_t offset, std::uint64_t most) const;

private:
    static constexpr std::uint64_t sectors_in_word = 64;
    /// For each 64 sectors a bit a sector.
    std::unordered_map<std::uint64_t, std::uint64_t> words_;
};

/// Reads come from `over` where something was written, and from `base` elsewhere. A resize leaves `base` as it is. `over` is
/// empty at first and has the size of `base`. Requests are whole sectors.
class SnapshotBackend final : public BlockBackend {
public:
    SnapshotBackend(std::shared_ptr<BlockBackend> base, std::shared_ptr<BlockBackend> over);

    [[nodiscard]] const BlockProperties& properties() const noexcept override { return properties_; }
    [[nodiscard]] awaitable<std::error_code> read(std::uint64_t offset, ReadSpans to) override;
    [[nodiscard]] awaitable<std::error_code> write(std::uint64_t offset, WriteSpans from) override;
    [[nodiscard]] awaitable<std::error_code> flush() override;
    [[nodiscard]] awaitable<std::error_code> discard(std::uint64_t offset, std::uint64_t size) override;
    [[nodiscard]] awaitable<std::error_code> write_zeroes(std::uint64_t offset, std::uint64_t size, bool may_unmap) override;
    [[nodiscard]] awaitable<void> resize(std::uint64_t size) override;
    [[nodiscard]] std::optional<std::uint64_t> allocated() const override { return over_->allocated(); }

private:
    std::shared_ptr<BlockBackend> base_;
    std::shared_ptr<BlockBackend> over_;
    WrittenSectors written_;
    BlockProperties properties_;
    std::uint64_t from_base_;  ///< bytes of `base` that can be seen: behind them a disk that has grown is zeros
};

}  // namespace asyncvm::block
