#include "serial_blocks.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>

namespace program_test {

namespace {

constexpr std::string_view word = "block ";
constexpr std::size_t digits = 8;
constexpr std::size_t header = word.size() + digits + 1;
constexpr std::size_t filler = block_size - header - 1;
constexpr std::size_t letters = 26;

std::string block(std::uint64_t number) {
    char head[header + 1];
    std::snprintf(head, sizeof head, "block %08llu ", static_cast<unsigned long long>(number));
    std::string text(head, header);
    const auto first = (number - 1) * filler;
    for (std::size_t i = 0; i < filler; ++i) text += static_cast<char>('a' + (first + i) % letters);
    text += '\n';
    return text;
}

}  // namespace

std::string blocks_text(std::uint64_t position, std::size_t count) {
    const auto skip = static_cast<std::size_t>(position % block_size);
    std::string text;
    text.reserve(skip + count + block_size);
    for (auto number = position / block_size + 1; text.size() < skip + count; ++number) text += block(number);
    return text.substr(skip, count);
}

std::optional<std::uint64_t> locate_in_blocks(std::string_view piece) {
    const auto found = piece.find(word);
    if (found == piece.npos || piece.size() - found < header) return std::nullopt;
    std::uint64_t number = 0;
    const char* const first = piece.data() + found + word.size();
    const auto [end, error] = std::from_chars(first, first + digits, number);
    if (error != std::errc{} || end != first + digits || number == 0) return std::nullopt;
    const auto start = (number - 1) * block_size;
    if (start < found) return std::nullopt;
    return start - found;
}

std::string difference_from_blocks(std::string_view piece, std::uint64_t position) {
    const auto expected = blocks_text(position, piece.size());
    const auto at = static_cast<std::size_t>(std::ranges::mismatch(piece, expected).in1 - piece.begin());
    if (at == piece.size()) return {};
    return "at " + std::to_string(position + at) + " there is '" + std::string(piece.substr(at, 40)) + "' and not '" +
           expected.substr(at, 40) + "'";
}

}  // namespace program_test
