/// The reader of KVM's ring of coalesced writes. Pure: the page may lie anywhere.
#pragma once

#include <asyncvm/coalesced_ring.hpp>

#include <linux/kvm.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace asyncvm::kvm {

/// struct kvm_coalesced_mmio_ring. In C++ the kernel's header gives the array another place, because of its empty structure.
struct CoalescedRingPage {
    static constexpr std::size_t size = 4096;  ///< bytes; the kernel divides x86's page by the size of an entry
    static constexpr std::uint32_t entries = (size - 2 * sizeof(std::uint32_t)) / sizeof(kvm_coalesced_mmio);

    std::uint32_t first;  ///< the oldest write that is here; the reader moves it
    std::uint32_t last;   ///< behind the newest one; the kernel moves it
    std::array<kvm_coalesced_mmio, entries> writes;
};

/// The kernel adds a write if one more fits, and keeps one entry free. Until 6.11 it computes the room as
/// `(first - last - 1) % entries` in 32 bits, which 2^32 is no multiple of. There the ring is also full with 85 writes while
/// `first` is not above `last`, and it is never full while `first` is 0 and `last` is 169: the next write then makes `last`
/// equal to `first`, and 170 writes are gone. So `first` never becomes 0 here: the reader leaves the last entry to the
/// kernel as if it had not been read yet, and remembers by itself where it goes on.
class CoalescedRingReader {
public:
    /// Nothing has been read of `page` yet. It must outlive the object.
    explicit CoalescedRingReader(CoalescedRingPage& page) noexcept : page_(page), next_(page.first) {}

    /// Whether a write waits. Any thread.
    [[nodiscard]] bool pending() const noexcept {
        return next_.load(std::memory_order_acquire) != std::atomic_ref(page_.last).load(std::memory_order_acquire);
    }

    /// Copies the oldest writes and returns how many. Any thread, one at a time with release().
    [[nodiscard]] std::size_t peek(std::span<CoalescedWrite> writes) const noexcept {
        std::uint32_t at = next_.load(std::memory_order_relaxed);
        const std::uint32_t last = std::atomic_ref(page_.last).load(std::memory_order_acquire);
        std::size_t count = 0;
        for (; at != last && count < writes.size(); at = (at + 1) % CoalescedRingPage::entries, ++count) {
            const kvm_coalesced_mmio& from = page_.writes[at];
            CoalescedWrite& to = writes[count];
            to.space = from.pio != 0 ? Space::port : Space::memory;
            to.size = static_cast<std::uint8_t>(std::min<std::uint32_t>(from.len, sizeof to.data));
            to.address = from.phys_addr;
            to.data = 0;
            std::memcpy(&to.data, from.data, to.size);
        }
        return count;
    }

    /// Gives the entries of the `count` oldest writes back to the kernel: at most as many as wait.
    void release(std::size_t count) noexcept {
        const auto next =
            static_cast<std::uint32_t>((next_.load(std::memory_order_relaxed) + count) % CoalescedRingPage::entries);
        next_.store(next, std::memory_order_release);
        std::atomic_ref(page_.first).store(next == 0 ? CoalescedRingPage::entries - 1 : next, std::memory_order_release);
    }

private:
    CoalescedRingPage& page_;
    std::atomic<std::uint32_t> next_;  ///< the write that is read next
};

}  // namespace asyncvm::kvm
