/// What a virtio driver and a device exchange: chains of buffers in guest memory.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace asyncvm::virtio {

class SplitQueue;

// Features that the transport and the queues have (specification, chapter 6). A device does not offer them itself.
inline constexpr std::uint64_t feature_indirect = std::uint64_t{1} << 28;
inline constexpr std::uint64_t feature_event_index = std::uint64_t{1} << 29;
inline constexpr std::uint64_t feature_version_1 = std::uint64_t{1} << 32;
inline constexpr std::uint64_t feature_ring_reset = std::uint64_t{1} << 40;

/// A request of the driver: buffers in guest memory that the device reads, and buffers that it writes. All of them are
/// inside the guest's memory, and none is empty. The guest may change their bytes at any time: copy what is checked, then
/// check the copy. The device gives a chain back with Queue::push(); one that is destroyed goes back when the driver resets
/// the queue. Not for several threads.
class Chain {
public:
    Chain() = default;
    Chain(Chain&& other) noexcept;
    Chain& operator=(Chain&& other) noexcept;
    ~Chain();

    [[nodiscard]] std::span<const std::span<const std::byte>> readable() const noexcept { return readable_; }
    [[nodiscard]] std::span<const std::span<std::byte>> writable() const noexcept { return writable_; }

    /// Guest-physical, of writable().
    [[nodiscard]] std::span<const std::uint64_t> writable_addresses() const noexcept { return addresses_; }

    /// Bytes, less than 4 GiB together.
    [[nodiscard]] std::uint64_t readable_size() const noexcept { return readable_size_; }
    [[nodiscard]] std::uint64_t writable_size() const noexcept { return writable_size_; }

    /// Copies from the readable bytes, which count from 0 across the buffers, from `offset` on. Returns how many there were.
    std::size_t read(std::uint64_t offset, std::span<std::byte> to) const noexcept;

    /// Copies to the writable bytes in the same way. Returns how many there was room for.
    std::size_t write(std::uint64_t offset, std::span<const std::byte> from) noexcept;

private:
    friend class SplitQueue;
    void clear() noexcept;

    GuestMemory* memory_ = nullptr;  ///< null: no chain
    std::uint16_t head_ = 0;
    std::uint64_t readable_size_ = 0;
    std::uint64_t writable_size_ = 0;
    std::vector<std::span<const std::byte>> readable_;
    std::vector<std::span<std::byte>> writable_;
    std::vector<std::uint64_t> addresses_;
};

}  // namespace asyncvm::virtio
