#include "gdb/hex.hpp"

namespace asyncvm::gdb {

namespace {

constexpr std::string_view digits_of = "0123456789abcdef";

/// -1: it is no digit.
int value_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::string to_hex(std::span<const std::byte> bytes) {
    std::string text(2 * bytes.size(), '0');
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto value = std::to_integer<unsigned>(bytes[i]);
        text[2 * i] = digits_of[value >> 4];
        text[2 * i + 1] = digits_of[value & 15];
    }
    return text;
}

std::string to_hex(std::string_view text) { return to_hex(std::as_bytes(std::span(text))); }

std::optional<std::string> from_hex(std::string_view digits) {
    if (digits.size() % 2 != 0) return std::nullopt;
    std::string bytes;
    bytes.reserve(digits.size() / 2);
    for (std::size_t i = 0; i < digits.size(); i += 2) {
        const int high = value_of(digits[i]);
        const int low = value_of(digits[i + 1]);
        if (high < 0 || low < 0) return std::nullopt;
        bytes += static_cast<char>(high << 4 | low);
    }
    return bytes;
}

std::optional<std::uint64_t> take_number(std::string_view& text) {
    constexpr std::size_t most = 16;
    std::uint64_t number = 0;
    std::size_t count = 0;
    for (; count < text.size() && value_of(text[count]) >= 0; ++count) {
        if (count == most) return std::nullopt;
        number = number << 4 | static_cast<std::uint64_t>(value_of(text[count]));
    }
    if (count == 0) return std::nullopt;
    text.remove_prefix(count);
    return number;
}

}  // namespace asyncvm::gdb
