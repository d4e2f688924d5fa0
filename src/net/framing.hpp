/// Frames in a stream of bytes, as QEMU's stream sockets and passt have them: 4 bytes of length, the highest first, and the
/// frame. Pure.
#pragma once

#include <asyncvm/net.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace asyncvm {

inline constexpr std::size_t frame_header = 4;  ///< bytes of length before a frame
/// Bytes of a buffer: the longest frame and as much again, so that short ones can come behind it.
inline constexpr std::size_t frame_capacity = 2 * (frame_header + most_frame);

/// Takes bytes in any portions and gives whole frames, in order. Memory that no frame has ever reached is never touched.
class FrameReader {
public:
    /// Where the next bytes go; empty if pop() has to make room first. Invalidates front().
    [[nodiscard]] std::span<std::byte> room() noexcept;
    /// `count` bytes have been put into room(). Returns false if a length is wrong: nothing behind it can be understood.
    [[nodiscard]] bool filled(std::size_t count) noexcept;
    /// The length that was wrong, in bytes.
    [[nodiscard]] std::uint32_t wrong_length() const noexcept { return wrong_; }

    /// The oldest whole frame; empty if there is none.
    [[nodiscard]] std::span<const std::byte> front() const noexcept;
    void pop() noexcept;
    /// The stream has ended: what there is of an unfinished frame goes, whole frames stay.
    void end() noexcept;

private:
    [[nodiscard]] std::uint32_t length_at(std::size_t place) const noexcept;

    std::unique_ptr<std::byte[]> bytes_ = std::make_unique_for_overwrite<std::byte[]>(frame_capacity);
    std::size_t begin_ = 0;  ///< of the oldest frame's header
    std::size_t whole_ = 0;  ///< whole frames end here
    std::size_t end_ = 0;    ///< of the bytes
    std::uint32_t wrong_ = 0;
};

/// Frames that wait for the kernel.
class FrameWriter {
public:
    /// Appends a frame with its header; `length` is the sum of the pieces' sizes, most_frame at most. Returns false if
    /// there is no room.
    bool append(std::span<const std::span<const std::byte>> pieces, std::size_t length) noexcept;
    [[nodiscard]] bool has_room() const noexcept { return size() + frame_header + most_frame <= frame_capacity; }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {bytes_.get() + begin_, size()}; }
    [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
    /// The first `count` bytes have been written.
    void written(std::size_t count) noexcept;
    void clear() noexcept { begin_ = end_ = 0; }

private:
    [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }

    std::unique_ptr<std::byte[]> bytes_ = std::make_unique_for_overwrite<std::byte[]>(frame_capacity);
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace asyncvm
