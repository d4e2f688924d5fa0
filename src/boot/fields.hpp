/// Little-endian fields of headers, read from a file's bytes and written into tables for a guest. Pure.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace asyncvm::boot {

static_assert(std::endian::native == std::endian::little);

/// The field at `offset`, or 0 if it is not all in `bytes`.
template <std::unsigned_integral T>
[[nodiscard]] T field_at(std::span<const std::byte> bytes, std::uint64_t offset) noexcept {
    T value{};
    if (offset <= bytes.size() && sizeof value <= bytes.size() - offset) {
        std::memcpy(&value, bytes.data() + offset, sizeof value);
    }
    return value;
}

/// Overwrites the field at `offset`, which is in `bytes`.
template <std::unsigned_integral T>
void set_field(std::span<std::byte> bytes, std::uint64_t offset, T value) noexcept {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

/// A table that grows at its end.
class TableBytes {
public:
    template <std::unsigned_integral T>
    void add(T value) {
        add(std::as_bytes(std::span(&value, 1)));
    }
    void add(std::span<const std::byte> bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }

    /// With a NUL at its end.
    void add_text(std::string_view text) {
        add(std::as_bytes(std::span(text)));
        bytes_.push_back(std::byte{0});
    }

    /// Adds zeros until the size is a multiple of `alignment`.
    void align(std::size_t alignment) { bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment); }

    [[nodiscard]] std::uint64_t size() const noexcept { return bytes_.size(); }
    [[nodiscard]] std::vector<std::byte>& bytes() noexcept { return bytes_; }

private:
    std::vector<std::byte> bytes_;
};

}  // namespace asyncvm::boot
