/// Makes one device access of the pieces into which Unicorn cuts a guest's access to memory that no RAM backs.
#pragma once

#include <asyncvm/exit.hpp>

#include <array>
#include <cstdint>

namespace asyncvm::unicorn {

/// Unicorn's core asks for aligned pieces of at most 4 bytes, and for an access that is not aligned reads more than the
/// guest does. A processor makes one access of it, or two where it crosses a page: that is what devices must see. Pure.
class Joiner {
public:
    /// A part of the guest's access that is to be made now.
    struct Part {
        std::uint64_t address = 0;
        unsigned offset = 0;  ///< into data()
        unsigned size = 0;    ///< 0: nothing is to be made
    };

    /// The guest's access as a whole, before its first piece; `size` is 1 to 8. Calls for the pieces of the access that is
    /// under way change nothing.
    void begin(Direction direction, std::uint64_t address, unsigned size, std::uint64_t value) noexcept;

    /// Forgets the access that is under way: a new instruction begins.
    void reset() noexcept { active_ = false; }

    [[nodiscard]] bool active() const noexcept { return active_; }
    [[nodiscard]] Direction direction() const noexcept { return direction_; }

    /// What has to be done before a piece at `address` can be answered.
    [[nodiscard]] Part part_for(std::uint64_t address) noexcept;

    /// The answer for a piece of a read; bytes that the guest did not ask for are 0.
    [[nodiscard]] std::uint64_t piece(std::uint64_t address, unsigned size) const noexcept;

    /// What the guest writes, or the place for what it reads.
    [[nodiscard]] std::array<std::byte, 8>& data() noexcept { return data_; }

private:
    static constexpr std::uint64_t page = 4096;

    [[nodiscard]] bool is_piece(Direction direction, std::uint64_t address, unsigned size) const noexcept;

    bool active_ = false;
    Direction direction_ = Direction::read;
    std::uint64_t address_ = 0;
    unsigned size_ = 0;
    std::array<bool, 2> done_{};  ///< the part in the first page, and in the second
    std::array<std::byte, 8> data_{};
};

}  // namespace asyncvm::unicorn
