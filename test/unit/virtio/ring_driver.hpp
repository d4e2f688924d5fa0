/// The driver's side of a split virtqueue, as a test needs it: right or wrong.
#pragma once

#include <asyncvm/guest_memory.hpp>

#include <boost/test/unit_test.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace asyncvm::virtio {

class RingDriver {
public:
    static constexpr std::uint16_t next = 1, writes = 2, indirect = 4;

    struct Buffer {
        std::uint64_t address;
        std::uint32_t length;
        std::uint16_t flags = 0;
        std::uint16_t next = 0;
    };

    struct Used {
        std::uint32_t head;
        std::uint32_t written;
        bool operator==(const Used&) const = default;
    };

    /// The rings take less than a page for a queue of 64 or less, from `base` on.
    RingDriver(GuestMemory& memory, std::uint64_t base, std::uint16_t size) : memory_(memory), base_(base), size_(size) {}

    [[nodiscard]] std::uint16_t size() const { return size_; }
    [[nodiscard]] std::uint64_t descriptors() const { return base_; }
    [[nodiscard]] std::uint64_t available() const { return base_ + 0x400; }
    [[nodiscard]] std::uint64_t used() const { return base_ + 0x600; }

    template <typename T>
    void put(std::uint64_t address, T value) {
        BOOST_REQUIRE(memory_.write(address, std::as_bytes(std::span(&value, 1))) == sizeof value);
    }
    template <typename T>
    [[nodiscard]] T get(std::uint64_t address) const {
        T value{};
        BOOST_REQUIRE(memory_.read(address, std::as_writable_bytes(std::span(&value, 1))) == sizeof value);
        return value;
    }

    void put_descriptor(std::uint64_t table, unsigned index, const Buffer& buffer) {
        put(table + 16 * index, buffer.address);
        put(table + 16 * index + 8, buffer.length);
        put(table + 16 * index + 12, buffer.flags);
        put(table + 16 * index + 14, buffer.next);
    }

    /// A chain of the descriptors from `first` on, in their order.
    void put_chain(std::uint16_t first, std::vector<Buffer> buffers) {
        for (std::uint16_t i = 0; i < buffers.size(); ++i) {
            if (i + 1U < buffers.size()) {
                buffers[i].flags |= next;
                buffers[i].next = static_cast<std::uint16_t>(first + i + 1);
            }
            put_descriptor(descriptors(), first + i, buffers[i]);
        }
    }

    /// Makes the chain that begins with `head` available.
    void offer(std::uint16_t head) {
        put(available() + 4 + 2 * (offered_ % size_), head);
        put(available() + 2, ++offered_);
    }
    void offer(std::uint16_t head, std::vector<Buffer> buffers) {
        put_chain(head, std::move(buffers));
        offer(head);
    }

    [[nodiscard]] std::uint16_t offered() const { return offered_; }
    void set_available_index(std::uint16_t index) { put(available() + 2, offered_ = index); }
    void set_available_flags(std::uint16_t flags) { put(available(), flags); }
    void set_used_event(std::uint16_t index) { put(available() + 4 + 2 * size_, index); }
    [[nodiscard]] std::uint16_t available_event() const { return get<std::uint16_t>(used() + 4 + 8 * size_); }
    [[nodiscard]] std::uint16_t used_flags() const { return get<std::uint16_t>(used()); }
    [[nodiscard]] std::uint16_t used_index() const { return get<std::uint16_t>(used() + 2); }

    /// The next entry of the used ring that has not been taken.
    [[nodiscard]] std::optional<Used> take_used() {
        if (used_index() == taken_) return std::nullopt;
        const std::uint64_t entry = used() + 4 + 8 * (taken_++ % size_);
        return Used{get<std::uint32_t>(entry), get<std::uint32_t>(entry + 4)};
    }

    [[nodiscard]] std::string text_at(std::uint64_t address, std::size_t size) const {
        std::string text(size, '\0');
        BOOST_REQUIRE(memory_.read(address, std::as_writable_bytes(std::span(text))) == size);
        return text;
    }
    void put_text(std::uint64_t address, std::string_view text) {
        BOOST_REQUIRE(memory_.write(address, std::as_bytes(std::span(text))) == text.size());
    }

private:
    GuestMemory& memory_;
    const std::uint64_t base_;
    const std::uint16_t size_;
    std::uint16_t offered_ = 0;
    std::uint16_t taken_ = 0;
};

}  // namespace asyncvm::virtio
