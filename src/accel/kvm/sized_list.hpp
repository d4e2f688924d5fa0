/// The lists of the kvm API that begin with their length.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace asyncvm::kvm {

/// A header whose first member counts the entries that follow it. Not the kernel's own structures: before Linux 6.7 their
/// flexible arrays have another place in C++ than in C, and the structures another size, on which the numbers of the ioctls
/// depend.
template <typename Header, typename Entry>
class SizedList {
    static_assert(sizeof(Header) % alignof(Entry) == 0);

public:
    explicit SizedList(std::size_t entries)
        : room_(entries), storage_(std::make_unique<std::byte[]>(sizeof(Header) + entries * sizeof(Entry))) {
        *count() = static_cast<std::uint32_t>(entries);
    }
    explicit SizedList(std::span<const Entry> from) : SizedList(from.size()) {
        for (std::size_t i = 0; i < from.size(); ++i) begin()[i] = from[i];
    }

    /// What the ioctl takes.
    [[nodiscard]] Header* header() const noexcept { return reinterpret_cast<Header*>(storage_.get()); }

    /// As many as the header says, which the kernel may have changed.
    [[nodiscard]] std::span<Entry> entries() const noexcept {
        return {begin(), *count() < room_ ? std::size_t{*count()} : room_};
    }

private:
    [[nodiscard]] std::uint32_t* count() const noexcept { return reinterpret_cast<std::uint32_t*>(storage_.get()); }
    [[nodiscard]] Entry* begin() const noexcept { return reinterpret_cast<Entry*>(storage_.get() + sizeof(Header)); }

    std::size_t room_;
    std::unique_ptr<std::byte[]> storage_;
};

/// The headers: a count alone, or with a second word.
struct CountHeader {
    std::uint32_t count;
};
struct CountFlagsHeader {
    std::uint32_t count;
    std::uint32_t flags;
};

}  // namespace asyncvm::kvm
