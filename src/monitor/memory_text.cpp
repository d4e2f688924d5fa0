#include "monitor/memory_text.hpp"

#include "monitor/human_error.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace asyncvm::monitor {

namespace {

/// As many as the largest number of that size needs.
std::size_t width_of(const MemoryFormat& format) {
    const std::size_t bits = std::size_t{8} * format.size;
    switch (format.how) {
        case 'o':
            return (bits + 2) / 3;
        case 'd':
        case 'u':
            return (bits * 10 + 32) / 33;
        default:
            return 0;
    }
}

std::string character_text(std::uint64_t value) {
    const auto letter = static_cast<unsigned char>(value);
    switch (letter) {
        case '\n':
            return R"('\n')";
        case '\r':
            return R"('\r')";
        case '\'':
            return R"('\'')";
        case '\\':
            return R"('\\')";
        default:
            if (letter >= 0x20 && letter < 0x7f) return fmt::format("'{}'", static_cast<char>(letter));
            return fmt::format("'\\x{:02x}'", letter);
    }
}

std::int64_t sign_extended(std::uint64_t value, unsigned size) {
    const unsigned unused = 64 - 8 * size;
    return static_cast<std::int64_t>(value << unused) >> unused;
}

}  // namespace

MemoryFormat take_format(std::string_view& text) {
    MemoryFormat format;
    text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
    if (!text.starts_with('/')) return format;
    text.remove_prefix(1);
    auto words = text.substr(0, std::min(text.find(' '), text.size()));
    text.remove_prefix(words.size());
    constexpr std::uint64_t most = std::uint64_t{1} << 32;
    if (const auto digits = std::min(words.find_first_not_of("0123456789"), words.size()); digits > 0) {
        format.count = 0;
        for (const char digit : words.substr(0, digits)) {
            format.count = std::min(most, format.count * 10 + static_cast<unsigned>(digit - '0'));
        }
        words.remove_prefix(digits);
    }
    constexpr std::string_view sizes = "bhwg";
    for (const char letter : words) {
        if (std::string_view("xduoci").find(letter) != std::string_view::npos) {
            format.how = letter;
        } else if (const auto power = sizes.find(letter); power != sizes.npos) {
            format.size = 1U << power;
        } else {
            throw HumanError(fmt::format("invalid char in format: '{}'", letter));
        }
    }
    if (format.how == 'c') format.size = 1;
    return format;
}

std::string number_text(std::uint64_t value, const MemoryFormat& format) {
    switch (format.how) {
        case 'o':
            return fmt::format("{:#o}", value);
        case 'd':
            return fmt::format("{}", sign_extended(value, format.size));
        case 'u':
            return fmt::format("{}", value);
        case 'c':
            return character_text(value);
        default:
            return fmt::format("{:#x}", value);
    }
}

std::string memory_text(std::span<const std::byte> bytes, std::uint64_t address, const MemoryFormat& format) {
    const std::size_t line = format.size == 1 ? 8 : 16;
    const std::size_t width = width_of(format);
    std::string text;
    for (std::size_t at = 0; at + format.size <= bytes.size(); at += format.size) {
        if (at % line == 0) text += fmt::format("{}{:016x}:", at == 0 ? "" : "\n", address + at);
        std::uint64_t value = 0;
        for (std::size_t i = format.size; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
        text += format.how == 'x' ? fmt::format(" {:#0{}x}", value, 2 + 2 * format.size)
                                  : fmt::format(" {:>{}}", number_text(value, format), width);
    }
    return text.empty() ? text : text + "\n";
}

}  // namespace asyncvm::monitor
