/// What stands between the input of a UART and its receiver: what the guest has cleared unread, and where a drain loop ends.
/// Pure.
#pragma once

#include "devices/uart16550_registers.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace asyncvm {

/// People type, and scripts send, before the guest has set its port up; the set-up of most guests clears the FIFOs and reads
/// until the receiver is empty. At the speed of a line there would be little in it. Here all input is there at once, so two
/// things keep it: characters that the guest clears unread go back in front of the input, and a guest that polls (its
/// received data interrupt is off) is shown an empty receiver after each 16 characters, once.
class UartInput {
public:
    static constexpr std::size_t most = Uart16550Registers::fifo_size;

    /// The guest clears the receiver: `unread` is what it has not read. Never more than `most` in all: nothing is taken from
    /// outside while something is here.
    void put_back(std::span<const std::uint8_t> unread) noexcept {
        const std::size_t count = std::min(unread.size(), most - count_);
        std::copy_backward(characters_.begin(), characters_.begin() + static_cast<std::ptrdiff_t>(count_),
                           characters_.begin() + static_cast<std::ptrdiff_t>(count_ + count));
        std::copy_n(unread.begin(), count, characters_.begin());
        count_ += count;
        cleared_ = true;
    }

    /// Takes what was put back, oldest first; returns how much that was.
    [[nodiscard]] std::size_t take(std::span<std::uint8_t> to) noexcept {
        const std::size_t count = std::min(to.size(), count_);
        std::copy_n(characters_.begin(), count, to.begin());
        std::copy(characters_.begin() + static_cast<std::ptrdiff_t>(count),
                  characters_.begin() + static_cast<std::ptrdiff_t>(count_), characters_.begin());
        count_ -= count;
        return count;
    }

    /// Whether there is something to take().
    [[nodiscard]] bool waiting() const noexcept { return count_ > 0; }

    /// How many characters may go to the receiver now that a guest which polls looks at it. `reads_data`: it reads the data
    /// register, otherwise the line status. The first read of the data register after a clear gives nothing new: start-up
    /// code reads it once to throw away what a clear may have left.
    [[nodiscard]] std::size_t allowance(bool reads_data, bool receiver_empty) noexcept {
        if (!receiver_empty) return left_;
        if (reads_data && std::exchange(cleared_, false)) return 0;
        if (left_ > 0) return left_;
        left_ = most;
        return reads_data ? left_ : 0;
    }

    /// The receiver has got `count` characters of an allowance.
    void spend(std::size_t count) noexcept {
        left_ -= std::min(left_, count);
        if (count > 0) cleared_ = false;
    }

    /// The guest does not poll: interrupts tell it what has come.
    void end_polling() noexcept {
        left_ = most;
        cleared_ = false;
    }

    template <class Archive>
    void fields(Archive& archive) {
        archive.field("characters", characters_);
        archive.field("count", count_, most);
        archive.field("left", left_, most);
        archive.field("cleared", cleared_);
    }

private:
    std::array<std::uint8_t, most> characters_{};
    std::size_t count_ = 0;
    std::size_t left_ = most;  ///< until the guest is shown an empty receiver
    bool cleared_ = false;     ///< the guest has cleared the receiver and has not looked since
};

}  // namespace asyncvm
