/// Where a range begins that the guest moves.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace asyncvm {

/// One thread moves it at a time; any thread may ask.
class MovingPlace {
public:
    /// For a comparison with an address: further from every address that a guest has than any range is long, if the range is
    /// nowhere.
    [[nodiscard]] std::uint64_t first() const noexcept { return first_.load(std::memory_order_relaxed); }

    [[nodiscard]] std::optional<std::uint64_t> now() const noexcept {
        const auto at = first();
        return (at & nowhere) == 0 ? std::optional(at) : std::nullopt;
    }
    /// Where it is, or was before it was nowhere; nothing if it has never been anywhere.
    [[nodiscard]] std::optional<std::uint64_t> last() const noexcept {
        const auto at = first();
        return at == never ? std::nullopt : std::optional(at & ~nowhere);
    }

    void leave() noexcept { first_ = first_ | nowhere; }
    /// `first` is below 2 to the 63rd.
    void arrive(std::uint64_t first) noexcept { first_ = first; }

private:
    static constexpr std::uint64_t nowhere = std::uint64_t{1} << 63;  ///< the other bits are the last place's
    static constexpr std::uint64_t never = nowhere | nowhere >> 1;

    std::atomic<std::uint64_t> first_ = never;
};

}  // namespace asyncvm
