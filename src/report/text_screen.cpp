#include "report/text_screen.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace asyncvm {

namespace {

constexpr std::size_t columns = 80;
constexpr std::size_t rows = 25;
constexpr std::size_t shortest_word = 3;

bool is_blank(std::uint8_t character) { return character == 0 || character == ' '; }
bool is_letter(std::uint8_t character) {
    return (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z');
}
/// Not what code page 437 has for control characters: texts do not use these symbols, machine code has many.
bool is_shown(std::uint8_t character) { return character >= ' ' && character != 0x7f; }

}  // namespace

std::string read_text_screen(const GuestMemory& memory) {
    std::array<std::byte, columns * rows * 2> cells{};
    if (memory.read(text_screen_address, std::span(cells)) != cells.size()) return {};
    std::string text;
    std::size_t end = 0;  // of the last line that is not blank
    std::size_t word = 0;
    std::size_t longest = 0;
    for (std::size_t row = 0; row < rows; ++row) {
        std::string line;
        for (std::size_t column = 0; column < columns; ++column) {
            const auto character = std::to_integer<std::uint8_t>(cells[2 * (row * columns + column)]);
            const auto colour = cells[2 * (row * columns + column) + 1];
            if (!is_blank(character) && (!is_shown(character) || colour == std::byte{0})) return {};
            word = is_letter(character) ? word + 1 : 0;
            longest = std::max(longest, word);
            line += is_blank(character) ? ' ' : character < 0x7f ? static_cast<char>(character) : '?';
        }
        line.erase(line.find_last_not_of(' ') + 1);
        const bool blank = line.empty();
        text += blank ? "  |\n" : "  | " + line + '\n';
        if (!blank) end = text.size();
    }
    if (longest < shortest_word) return {};
    text.resize(end);
    return text;
}

}  // namespace asyncvm
