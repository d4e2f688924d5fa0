/// A split virtqueue, from the device's side (virtio 1.2, 2.7). Pure: memory and indices, no threads, no I/O.
#pragma once

#include <asyncvm/virtio_chain.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "virtio/mistake.hpp"

namespace asyncvm::virtio {

/// Takes chains from the available ring and gives them back through the used ring. Whatever the driver writes, and also if
/// it does so meanwhile, no access leaves guest memory and every function ends. The first mistake of the driver is final:
/// mistake() says what it was, and there are no more chains.
class SplitQueue {
public:
    struct Setup {
        std::uint16_t size = 0;
        std::uint64_t descriptors = 0;  ///< guest-physical, as the other two
        std::uint64_t available = 0;
        std::uint64_t used = 0;
        bool indirect = false;  ///< negotiated: VIRTIO_F_INDIRECT_DESC
        bool event_index = false;
    };

    static constexpr std::uint16_t largest_size = 32768;
    /// Buffers of one chain, at most. A chain without an indirect table has at most as many as the queue has descriptors.
    static constexpr unsigned longest_chain = 1024;

    /// What a queue keeps between two chains: enough to go on with it elsewhere.
    struct Position {
        std::uint16_t next_available = 0;
        std::uint16_t next_used = 0;
        std::uint16_t signalled = 0;  ///< next_used at the last decision about an interrupt
        bool has_signalled = false;
        std::vector<std::uint16_t> under_way{};  ///< heads of the chains that the device has, the oldest first

        template <class Archive>
        void fields(Archive& archive) {
            archive.field("next available", next_available);
            archive.field("next used", next_used);
            archive.field("signalled", signalled);
            archive.field("has signalled", has_signalled);
            archive.field("under way", under_way);
        }
    };

    /// `memory` must outlive the object and its chains. A setup that the specification forbids is a mistake().
    SplitQueue(GuestMemory& memory, const Setup& setup);

    [[nodiscard]] std::uint16_t size() const noexcept { return setup_.size; }
    [[nodiscard]] Mistake mistake() const noexcept { return mistake_; }
    /// What only the device can see is a mistake, too.
    void fail(Mistake mistake) noexcept;

    /// The next chain, in the driver's order. Nothing: there is none now, or ever again (mistake()).
    [[nodiscard]] std::optional<Chain> pop();
    /// Whether pop() would find something.
    [[nodiscard]] bool has_more() const noexcept;
    /// Whether it would not, and every chain has been given back.
    [[nodiscard]] bool is_idle() const noexcept;

    /// Gives a chain of this object back. `written`: as Queue::push() has it.
    void push(Chain chain, std::uint64_t written) noexcept;

    /// The driver shall notify from the next chain on. Returns false if there is one already: pop() then.
    [[nodiscard]] bool ask_for_notification() noexcept;
    /// It need not, until it is asked.
    void decline_notification() noexcept;

    /// Whether the driver wants an interrupt for what has been given back since the last call.
    [[nodiscard]] bool interrupt_due() noexcept;

    [[nodiscard]] Position position() const;
    /// Before the first pop(). Chains that were under way come first.
    void go_on_from(const Position& position);

private:
    struct Descriptor;

    [[nodiscard]] Mistake find() noexcept;
    [[nodiscard]] std::uint16_t available_index() const noexcept;
    [[nodiscard]] std::optional<std::uint16_t> next_head() noexcept;
    [[nodiscard]] Mistake collect(Chain& chain, std::uint16_t head) const;
    [[nodiscard]] Mistake add_buffer(Chain& chain, const Descriptor& descriptor) const;
    [[nodiscard]] Chain empty_chain();
    void write_used(std::size_t offset, std::uint16_t value) noexcept;

    GuestMemory& memory_;
    Setup setup_;
    Mistake mistake_ = Mistake::none;
    std::span<std::byte> descriptors_;  ///< host memory of the three parts; empty after a mistake in the setup
    std::span<std::byte> available_;
    std::span<std::byte> used_;
    std::uint16_t next_available_ = 0;
    std::uint16_t next_used_ = 0;
    std::uint16_t signalled_ = 0;
    bool has_signalled_ = false;
    std::vector<std::uint16_t> again_;      ///< heads that pop() gives before it looks at the ring, the last one first
    std::uint64_t taken_ = 0;               ///< chains until now
    std::vector<std::uint64_t> under_way_;  ///< for each head: which chain it is, counted from 1; 0: none
    std::vector<Chain> spare_;              ///< empty ones, whose vectors have room
};

}  // namespace asyncvm::virtio
