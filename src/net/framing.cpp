#include "net/framing.hpp"

#include <algorithm>
#include <cstring>

namespace asyncvm {

std::span<std::byte> FrameReader::room() noexcept {
    if (begin_ == end_) begin_ = whole_ = end_ = 0;
    if (begin_ != 0 && frame_capacity - end_ < frame_header + most_frame) {
        std::memmove(bytes_.get(), bytes_.get() + begin_, end_ - begin_);
        whole_ -= begin_;
        end_ -= begin_;
        begin_ = 0;
    }
    return {bytes_.get() + end_, frame_capacity - end_};
}

std::uint32_t FrameReader::length_at(std::size_t place) const noexcept {
    std::uint32_t length = 0;
    for (std::size_t i = 0; i < frame_header; ++i) {
        length = length << 8 | std::to_integer<std::uint32_t>(bytes_[place + i]);
    }
    return length;
}

bool FrameReader::filled(std::size_t count) noexcept {
    end_ += count;
    while (end_ - whole_ >= frame_header) {
        const auto length = length_at(whole_);
        if (length < least_frame || length > most_frame) {
            wrong_ = length;
            return false;
        }
        if (end_ - whole_ < frame_header + length) break;
        whole_ += frame_header + length;
    }
    return true;
}

std::span<const std::byte> FrameReader::front() const noexcept {
    if (begin_ == whole_) return {};
    return {bytes_.get() + begin_ + frame_header, length_at(begin_)};
}

void FrameReader::pop() noexcept { begin_ += frame_header + length_at(begin_); }

void FrameReader::end() noexcept { end_ = whole_; }

bool FrameWriter::append(std::span<const std::span<const std::byte>> pieces, std::size_t length) noexcept {
    if (size() + frame_header + length > frame_capacity) return false;
    if (end_ + frame_header + length > frame_capacity) {
        std::memmove(bytes_.get(), bytes_.get() + begin_, size());
        end_ -= begin_;
        begin_ = 0;
    }
    for (std::size_t i = 0; i < frame_header; ++i) {
        bytes_[end_++] = static_cast<std::byte>(length >> 8 * (frame_header - 1 - i));
    }
    for (const auto& piece : pieces) {
        std::ranges::copy(piece, bytes_.get() + end_);
        end_ += piece.size();
    }
    return true;
}

void FrameWriter::written(std::size_t count) noexcept {
    begin_ += count;
    if (begin_ == end_) clear();
}

}  // namespace asyncvm
