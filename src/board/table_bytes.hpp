/// The bytes of a table that is being made: little-endian numbers, texts of a fixed width, checksums. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <vector>

namespace asyncvm::board {

class TableBytes {
public:
    TableBytes& u8(std::uint8_t value) { return number(value, 1); }
    TableBytes& u16(std::uint16_t value) { return number(value, 2); }
    TableBytes& u32(std::uint32_t value) { return number(value, 4); }
    TableBytes& u64(std::uint64_t value) { return number(value, 8); }
    TableBytes& zeros(std::size_t count) {
        bytes_.resize(bytes_.size() + count);
        return *this;
    }
    /// `width` bytes: the text, then blanks. A text that is longer is cut.
    TableBytes& text(std::string_view text, std::size_t width) {
        for (std::size_t at = 0; at < width; ++at) {
            bytes_.push_back(static_cast<std::byte>(at < text.size() ? text[at] : ' '));
        }
        return *this;
    }
    TableBytes& append(std::span<const std::byte> more) {
        bytes_.insert(bytes_.end(), more.begin(), more.end());
        return *this;
    }
    /// Zeros up to a multiple of `alignment`.
    TableBytes& align(std::size_t alignment) { return zeros((alignment - bytes_.size() % alignment) % alignment); }

    /// Over what is at `offset` already.
    void set(std::size_t offset, std::uint64_t value, unsigned width) {
        for (unsigned at = 0; at < width; ++at) bytes_[offset + at] = static_cast<std::byte>(value >> (8 * at));
    }
    /// Makes the sum of the bytes from `first` to before `end` 0, by the byte at `offset`, which is one of them and 0.
    void set_checksum(std::size_t offset, std::size_t first, std::size_t end) {
        const auto sum = std::accumulate(
            bytes_.begin() + static_cast<std::ptrdiff_t>(first), bytes_.begin() + static_cast<std::ptrdiff_t>(end), 0u,
            [](unsigned so_far, std::byte byte) { return so_far + static_cast<unsigned>(byte); });
        set(offset, 0x100 - sum % 0x100, 1);
    }

    [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
    [[nodiscard]] const std::vector<std::byte>& bytes() const noexcept { return bytes_; }

private:
    TableBytes& number(std::uint64_t value, unsigned width) {
        const auto offset = bytes_.size();
        bytes_.resize(offset + width);
        set(offset, value, width);
        return *this;
    }

    std::vector<std::byte> bytes_;
};

}  // namespace asyncvm::board
